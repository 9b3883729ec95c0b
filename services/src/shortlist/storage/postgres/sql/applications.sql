-- Applications as ingest accepts them, and as ingest and the dashboard read them.
-- OFFSET 0 keeps the planner from turning a probe of a primary key into a join with the whole table. It
-- would do so where a table looks small to it; plans that were prepared then outlive that.

-- name: accept(ids, pipelines, candidates, payloads, traceparents, before)
-- Inserts one group of applications of which none has an idempotency key. Ingest, once for each group.
-- The arrays have one element for each application; `traceparents` is null when no one of them has one.
-- Inserts nothing once `before` has passed (null: always inserts): ingest has given up by then, and a
-- resumed backend first executes what is in its socket buffer.
INSERT INTO applications (id, pipeline, candidate, payload, traceparent)
SELECT * FROM unnest(:ids::uuid[], :pipelines::text[], :candidates::text[], :payloads::text[], :traceparents::text[])
WHERE now() < coalesce(:before::timestamptz, 'infinity')

-- name: accept_keyed(ids, pipelines, candidates, payloads, traceparents, before, keys, body_hashes)
-- Inserts one group of applications of which some have an idempotency key. Ingest, once for each group.
-- As `accept`; `keys` and `body_hashes` are null where an application has no key. Returns the ids that
-- were inserted. A key belongs to a route and a pipeline: of each only the first application is inserted.
-- Sorted, so that two groups never wait for each other in a circle.
-- The release before has one table in which a key is one for all; its processes run beside ours
-- during a rollout. So a key is put there too, where it is free (`plain`), and what they put there
-- counts (`known`). A key that is not free there, and that this statement does not see there, was
-- just put there by another process: its application is not inserted, and has to be tried again.
WITH input AS (
    SELECT i.*, CASE WHEN candidate IS NULL THEN '/job' ELSE '/applications' END AS route
    FROM unnest(:ids::uuid[], :pipelines::text[], :candidates::text[], :payloads::text[], :traceparents::text[], :keys::text[], :body_hashes::bytea[])
        AS i (id, pipeline, candidate, payload, traceparent, key, body_hash)
    WHERE now() < coalesce(:before::timestamptz, 'infinity')
), known AS (
    SELECT i.id FROM input i
    JOIN idempotency_keys k ON k.key = i.key
    JOIN applications a ON a.id = k.application_id
    WHERE a.pipeline = i.pipeline AND (a.candidate IS NULL) = (i.candidate IS NULL)
), new AS (
    SELECT * FROM input i
    WHERE key IS NOT NULL AND NOT EXISTS (SELECT FROM known WHERE known.id = i.id)
      AND NOT EXISTS (
        SELECT FROM scoped_idempotency_keys s
        WHERE s.route = i.route AND s.pipeline = i.pipeline AND s.key = i.key OFFSET 0)
), plain AS (
    INSERT INTO idempotency_keys (key, application_id, body_hash)
    SELECT DISTINCT ON (key) key, id, body_hash FROM new ORDER BY key, id
    ON CONFLICT (key) DO NOTHING
    RETURNING key
), first AS (
    INSERT INTO scoped_idempotency_keys (route, pipeline, key, application_id, body_hash)
    SELECT route, pipeline, key, id, body_hash FROM new
    WHERE key IN (SELECT key FROM plain)
       OR EXISTS (SELECT FROM idempotency_keys k WHERE k.key = new.key OFFSET 0)
    ORDER BY route, pipeline, key, id
    ON CONFLICT DO NOTHING
    RETURNING application_id
)
INSERT INTO applications (id, pipeline, candidate, payload, traceparent)
SELECT id, pipeline, candidate, payload, traceparent FROM input
WHERE key IS NULL OR id IN (SELECT application_id FROM first)
RETURNING id

-- name: idempotency_owners(ids, pipelines, are_jobs, keys)
-- Finds the applications that own the keys of others, which `accept_keyed` did not insert. Ingest.
-- `ids`, `pipelines`, `are_jobs` (came by /job) and `keys` are of those others; one whose key no
-- application owns is left out.
SELECT i.id, coalesce(s.application_id, k.application_id) AS application_id,
       coalesce(s.body_hash, k.body_hash) AS body_hash
FROM unnest(:ids::uuid[], :pipelines::text[], :are_jobs::boolean[], :keys::text[]) AS i (id, pipeline, is_job, key)
LEFT JOIN scoped_idempotency_keys s
    ON s.route = CASE WHEN i.is_job THEN '/job' ELSE '/applications' END
   AND s.pipeline = i.pipeline AND s.key = i.key
LEFT JOIN (idempotency_keys k JOIN applications a ON a.id = k.application_id)
    ON k.key = i.key AND a.pipeline = i.pipeline AND (a.candidate IS NULL) = i.is_job
WHERE s.key IS NOT NULL OR k.key IS NOT NULL

-- name: count_existing(ids)
-- Counts the applications that are there. Ingest, to find out whether a group that it inserts again was
-- committed the first time.
SELECT count(*) FROM applications WHERE id = ANY(:ids)

-- name: newest()
-- Returns the id of the newest application, if there is any. Ingest, before it makes ids of its own.
SELECT id FROM applications ORDER BY id DESC LIMIT 1

-- name: unfinished_count(pipeline, before, limit)
-- Counts the unfinished of a pipeline with an id below `before`, no further than `limit`. Ingest, when it
-- does not know how long the line is. What is older than the sweep's beginning is finished.
SELECT count(*) FROM (
    SELECT FROM applications a
    WHERE a.pipeline = :pipeline AND a.id > (SELECT swept_to FROM pipelines WHERE name = :pipeline)
      AND a.id < :before
      AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id OFFSET 0)
    LIMIT :limit
) u

-- name: views(ids)
-- Reads the truth about some applications. Ingest and the dashboard. By primary keys only, whatever the
-- tables' size.
SELECT a.id, a.pipeline, a.candidate, a.accepted_at,
       r.status, r.score, r.reason, r.finished_at,
       t.attempt, t.outcome
FROM applications a
LEFT JOIN LATERAL (SELECT * FROM results WHERE application_id = a.id OFFSET 0) r ON true
LEFT JOIN LATERAL (
    SELECT attempt, outcome FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
WHERE a.id = ANY(:ids::uuid[])

-- name: recent(limit)
-- Reads the newest applications, newest first. The dashboard, for the page of the job server's contract.
SELECT a.id, a.pipeline, a.candidate, a.accepted_at,
       r.status, r.score, r.reason, r.finished_at,
       t.attempt, t.outcome
FROM (SELECT * FROM applications ORDER BY id DESC LIMIT :limit) a
LEFT JOIN LATERAL (SELECT * FROM results WHERE application_id = a.id OFFSET 0) r ON true
LEFT JOIN LATERAL (
    SELECT attempt, outcome FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
ORDER BY a.id DESC

-- name: leaderboard(pipeline, limit)
-- Reads the best scores of a pipeline, best first; ties by acceptance (an id is a time). Ingest and the
-- dashboard. The index gives the order, so the cost is the limit's, not the table's.
SELECT a.id, a.candidate, r.score, a.accepted_at, r.finished_at
FROM (
    SELECT application_id, score, finished_at FROM results
    WHERE pipeline = :pipeline AND status = 'scored'
    ORDER BY score DESC, application_id LIMIT :limit
) r CROSS JOIN LATERAL (
    SELECT id, candidate, accepted_at FROM applications WHERE id = r.application_id OFFSET 0
) a
ORDER BY r.score DESC, a.id
