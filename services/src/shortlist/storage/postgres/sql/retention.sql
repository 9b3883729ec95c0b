-- Removes rows past their retention, in bounded batches, oldest first.

-- name: witness_time(name, passed_seconds)
-- Returns the time by which `name` may delete, and by how many seconds Postgres's clock is ahead of it.
-- The leader. It is Postgres's clock, but no more than `passed_seconds` after what was witnessed before.
-- Without that, a day after the newest application was accepted.
INSERT INTO witnessed_time AS w (name, at)
SELECT :name, least(clock_timestamp(), coalesce(
    (SELECT accepted_at + interval '1 day' FROM applications ORDER BY id DESC LIMIT 1),
    clock_timestamp()))
ON CONFLICT (name) DO UPDATE SET
    at = greatest(w.at, least(clock_timestamp(), w.at + make_interval(secs => :passed_seconds)))
RETURNING least(at, clock_timestamp()) AS at, extract(epoch FROM clock_timestamp() - at)::float8 AS ahead_seconds

-- name: oldest(after, below, limit)
-- Lists the ids of the oldest applications between two ids, in order. The leader.
SELECT id FROM applications WHERE id > :after AND id < :below ORDER BY id LIMIT :limit

-- name: remove_finished(ids, before, archive)
-- Removes those of some applications that were finished before a time, with all that belongs to them;
-- with `archive` one document of each is kept. The leader. Deleting the result comes first, so that a
-- requeue of the same application and this exclude each other. Returns how many.
WITH gone AS (
    DELETE FROM results WHERE application_id = ANY(:ids::uuid[]) AND finished_at < :before RETURNING *
), removed AS (
    DELETE FROM applications WHERE id IN (SELECT application_id FROM gone) RETURNING *
), tried AS (
    DELETE FROM attempts WHERE application_id IN (SELECT application_id FROM gone) RETURNING *
), audited AS (
    DELETE FROM audit_log WHERE application_id IN (SELECT application_id FROM gone) RETURNING *
), unscheduled AS (
    DELETE FROM retries WHERE application_id IN (SELECT application_id FROM gone)
), archived AS (
    INSERT INTO archived_applications (id, record)
    SELECT a.id, jsonb_build_object(
        'application', to_jsonb(a), 'result', to_jsonb(g),
        'attempts', coalesce(t.list, '[]'), 'audit', coalesce(l.list, '[]'))
    FROM removed a
    JOIN gone g ON g.application_id = a.id
    LEFT JOIN (
        SELECT application_id, jsonb_agg(to_jsonb(tried) ORDER BY attempt) AS list FROM tried GROUP BY 1
    ) t ON t.application_id = a.id
    LEFT JOIN (
        SELECT application_id, jsonb_agg(to_jsonb(audited) ORDER BY at) AS list FROM audited GROUP BY 1
    ) l ON l.application_id = a.id
    WHERE :archive
    ON CONFLICT (id) DO NOTHING
)
SELECT count(*) FROM removed

-- name: remove_idempotency_keys(after, before, limit, below)
-- Removes idempotency keys made between the times `after` and `before`, at most `limit` of each table,
-- oldest first. The leader. Those of applications with an id of `below` and above stay, whatever clock their
-- time is of. Returns until when it removed; null: there was none.
WITH removed AS (
    DELETE FROM idempotency_keys WHERE key IN (
        SELECT key FROM idempotency_keys
        WHERE created_at >= :after AND created_at < :before AND application_id < :below
        ORDER BY created_at LIMIT :limit)
    RETURNING created_at
), scoped AS (
    DELETE FROM scoped_idempotency_keys WHERE (route, pipeline, key) IN (
        SELECT route, pipeline, key FROM scoped_idempotency_keys
        WHERE created_at >= :after AND created_at < :before AND application_id < :below
        ORDER BY created_at LIMIT :limit)
    RETURNING created_at
)
-- What the other table still has is found again from there.
SELECT least((SELECT max(created_at) FROM removed), (SELECT max(created_at) FROM scoped))
