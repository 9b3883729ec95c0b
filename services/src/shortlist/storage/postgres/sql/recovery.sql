-- What the leader's sweep reads to find lost applications.
-- Held: some live worker may still write for it. Lost: unfinished, and nothing will ever bring it to a
-- worker. Let go of: see `claims.sql`.
-- OFFSET 0 keeps the planner from turning a probe of a primary key into a join with the whole table. It
-- would do so where a table looks small to it; plans that were prepared then outlive that.
-- A lease runs while its end is ahead, and by no more than twice its length: one that ends later was
-- written by a clock that has been set back since. Workers' leases are of 3 s (`queries/workers.py`).

-- name: unfinished(after, up_to, limit, claimed_above)
-- Finds the applications with an id in (`after`, `up_to`] that have no result; of those above
-- `claimed_above` only the ones that a worker claimed. The sweep. Looks at the first `limit` of them only,
-- so that it is short whatever the tables hold. Returns how many it looked at, the last of these, and what
-- it found, by id. A probe of the primary key for each is right whatever the statistics say, stale or
-- fresh.
WITH scanned AS MATERIALIZED (
    SELECT id FROM applications WHERE id > :after AND id <= :up_to ORDER BY id LIMIT :limit
)
SELECT (SELECT count(*) FROM scanned) AS scanned,
       (SELECT id FROM scanned ORDER BY id DESC LIMIT 1) AS last,
       ARRAY(
           SELECT id FROM scanned s
           WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = s.id OFFSET 0)
             AND (id <= :claimed_above OR EXISTS (SELECT FROM attempts t WHERE t.application_id = s.id OFFSET 0))
           ORDER BY id) AS unfinished

-- name: observe(pipeline, ids, convicted_after)
-- Reads what is known of the unfinished of a pipeline among some applications, by id; the finished are left
-- out. The sweep.
-- `held`: a live worker may still write. `open`: the latest claim was neither finished nor ended.
-- `let_go`: it is open, and its worker lives and does not hold it. `known`: its worker may live.
-- `scheduled`: a retry brings it back by itself. `abandoned`: claims that are open or were left open by
-- their workers; `alone`: those of them whose worker held nothing else. `others_end`, looked up for what was
-- abandoned `convicted_after` times: another one was scored since.
WITH looked AS MATERIALIZED (
    SELECT unnest(:ids::uuid[]) AS id
), registered AS MATERIALIZED (
    SELECT id, lists, lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s' AS leased FROM workers
), listed AS MATERIALIZED (
    SELECT id AS worker_id, unnest(holds) AS application_id FROM workers
)
SELECT i.id, a.traceparent, coalesce(t.attempt, 0) AS attempt, t.worker_id,
       t.attempt IS NOT NULL AND t.outcome IS NULL AS open,
       w.id IS NOT NULL AS known,
       lock_key(i.id) IN (SELECT key FROM held_locks)
           OR coalesce(t.outcome IS NULL AND w.leased AND g.let_go IS NOT TRUE, false) AS held,
       coalesce(t.outcome IS NULL AND w.leased AND g.let_go, false) AS let_go,
       EXISTS (SELECT FROM retries e WHERE e.application_id = i.id) AS scheduled,
       coalesce(b.total, 0) AS abandoned, coalesce(b.alone, 0) AS alone,
       CASE WHEN b.total >= :convicted_after::integer THEN scored_near(i.id, :pipeline, b.since) ELSE false END AS others_end
FROM looked i
CROSS JOIN LATERAL (
    SELECT traceparent FROM applications WHERE id = i.id AND pipeline = :pipeline OFFSET 0
) a
LEFT JOIN LATERAL (
    SELECT attempt, outcome, worker_id, lists FROM attempts
    WHERE application_id = i.id ORDER BY attempt DESC LIMIT 1
) t ON true
LEFT JOIN registered w ON w.id = t.worker_id
LEFT JOIN LATERAL (
    SELECT t.lists < w.lists AND (t.worker_id, i.id) NOT IN (SELECT worker_id, application_id FROM listed) AS let_go
    OFFSET 0
) g ON true
LEFT JOIN LATERAL (SELECT * FROM abandonments(i.id) WHERE t.attempt IS NOT NULL OFFSET 0) b ON true
WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = i.id OFFSET 0)
ORDER BY i.id

-- name: not_unfinished(ids)
-- Finds the applications among some that are finished, or gone altogether: nothing in the line needs them.
-- The sweep.
SELECT i.id FROM unnest(:ids::uuid[]) AS i (id)
WHERE NOT EXISTS (SELECT FROM applications a WHERE a.id = i.id OFFSET 0)
   OR EXISTS (SELECT FROM results r WHERE r.application_id = i.id OFFSET 0)

-- name: newest(below)
-- Returns the id of the newest application below an id, if there is any. The sweep.
SELECT id FROM applications WHERE id < :below ORDER BY id DESC LIMIT 1

-- name: clock_milliseconds()
-- Returns Postgres's time in Unix milliseconds, as ids have it. The sweep.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: pipelines()
-- Lists all pipelines, and where the sweep of each may begin. The sweep.
SELECT name, swept_to FROM pipelines ORDER BY name

-- name: save_mark(pipeline, mark)
-- Writes where the next leader's sweep of a pipeline may begin. The sweep.
UPDATE pipelines SET swept_to = :mark WHERE name = :pipeline AND swept_to <> :mark
