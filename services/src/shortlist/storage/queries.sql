-- Hot SQL, and the SQL that is hard. Parameters are Postgres's own ($1 …).
-- Words: held = some live worker may still write for it; lost = unfinished, and nothing will
-- ever bring it to a worker.

-- name: accept
-- One group of applications, in one statement. $1 ids, $2 pipelines, $3 candidates, $4 payloads,
-- $5 traceparents. Nothing once $6 has passed: whoever sent it has given up by then, and a server
-- that was stopped reads its mail first when it goes on.
INSERT INTO applications (id, pipeline, candidate, payload, traceparent)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
WHERE now() < coalesce($6::timestamptz, 'infinity')

-- name: accept_keyed
-- The same for a group in which some carry an idempotency key ($7 keys, $8 body hashes): of each
-- key only its first application is inserted. Sorted, so that two groups never wait for each
-- other in a circle. Returns the ids that were inserted.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $7::text[], $8::bytea[])
        AS i (id, pipeline, candidate, payload, traceparent, key, body_hash)
    WHERE now() < coalesce($6::timestamptz, 'infinity')
), first AS (
    INSERT INTO idempotency_keys (key, application_id, body_hash)
    SELECT key, id, body_hash FROM input WHERE key IS NOT NULL ORDER BY key, id
    ON CONFLICT (key) DO NOTHING
    RETURNING application_id
)
INSERT INTO applications (id, pipeline, candidate, payload, traceparent)
SELECT id, pipeline, candidate, payload, traceparent FROM input
WHERE key IS NULL OR id IN (SELECT application_id FROM first)
RETURNING id

-- name: idempotency_owners
-- Who owns these keys ($1), after accept_keyed lost them to somebody else.
SELECT key, application_id, body_hash FROM idempotency_keys WHERE key = ANY($1::text[])

-- name: unfinished_count
-- How many of pipeline $1 are unfinished; counts no further than $2. What is older than the sweep's
-- beginning was finished.
SELECT count(*) FROM (
    SELECT FROM applications a
    WHERE a.pipeline = $1 AND a.id > (SELECT swept_to FROM pipelines WHERE name = $1)
      AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id OFFSET 0)
    LIMIT $2
) u

-- name: views
-- The truth about some applications ($1 ids): by primary keys only, whatever the tables' size.
SELECT a.id, a.pipeline, a.candidate, a.accepted_at,
       r.status, r.score, r.reason, r.finished_at,
       t.attempt, t.outcome
FROM applications a
LEFT JOIN results r ON r.application_id = a.id
LEFT JOIN LATERAL (
    SELECT attempt, outcome FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
WHERE a.id = ANY($1::uuid[])

-- name: recent
-- The newest $1 applications, for the page of the job-server contract.
SELECT a.id, a.pipeline, a.candidate, a.accepted_at,
       r.status, r.score, r.reason, r.finished_at,
       t.attempt, t.outcome
FROM (SELECT * FROM applications ORDER BY id DESC LIMIT $1) a
LEFT JOIN results r ON r.application_id = a.id
LEFT JOIN LATERAL (
    SELECT attempt, outcome FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
ORDER BY a.id DESC

-- name: leaderboard
-- Best first; ties by acceptance (an id is a time). $1 pipeline, $2 limit. The index gives the
-- order, so the cost is the limit's, not the table's.
SELECT a.id, a.candidate, r.score, a.accepted_at, r.finished_at
FROM (
    SELECT application_id, score, finished_at FROM results
    WHERE pipeline = $1 AND status = 'scored'
    ORDER BY score DESC, application_id LIMIT $2
) r JOIN applications a ON a.id = r.application_id
ORDER BY r.score DESC, a.id

-- name: claim
-- Claims what may be claimed of $1 (ids) for worker $2, as the next attempt of each. The caller in
-- mode perJob holds the session lock of each id already; here the lock of the transaction keeps a
-- perJob holder's work out of a perWrite worker's hands (one's own locks never conflict). A worker
-- may claim again what it claimed itself: the reply to its first try may have got lost. It must not
-- ask for what it is scoring.
INSERT INTO attempts (application_id, attempt, worker_id)
SELECT a.id, coalesce(t.attempt, 0) + 1, $2
FROM applications a
LEFT JOIN LATERAL (
    SELECT attempt, outcome, worker_id FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
WHERE a.id = ANY($1::uuid[])
  AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
  AND NOT EXISTS (SELECT FROM retries e WHERE e.application_id = a.id AND e.due_at > now())
  AND NOT EXISTS (
      SELECT FROM workers w
      WHERE w.id = t.worker_id AND w.id <> $2 AND t.outcome IS NULL AND w.lease_expires_at > clock_timestamp())
  AND pg_try_advisory_xact_lock(('x' || right(replace(a.id::text, '-', ''), 16))::bit(64)::bigint)
ON CONFLICT DO NOTHING
RETURNING application_id, attempt

-- name: claimed_work
-- What a worker needs to score what it claimed. $1 ids.
SELECT id, candidate, payload, accepted_at, traceparent FROM applications WHERE id = ANY($1::uuid[])

-- name: owns
-- Whether attempt $2 of application $1 by worker $3 is still the latest, and open.
SELECT EXISTS (
    SELECT FROM attempts WHERE application_id = $1 AND attempt = $2 AND worker_id = $3 AND outcome IS NULL)
   AND NOT EXISTS (SELECT FROM attempts WHERE application_id = $1 AND attempt > $2)

-- name: complete
-- Writes verdicts, each guarded by its fence: the writer's attempt exists, is the latest, and no
-- result is there yet. Result and audit in one transaction. $1 ids, $2 attempts, $3 statuses,
-- $4 scores, $5 reasons, $6 details, $7 pipeline, $8 worker. Returns whose verdict counted, now or
-- when the same was sent before: a commit whose answer got lost may be repeated.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::float8[], $5::text[], $6::jsonb[])
        AS i (id, attempt, status, score, reason, detail)
), written AS (
    INSERT INTO results (application_id, attempt, pipeline, status, score, reason, detail)
    SELECT id, attempt, $7, status, score, reason, detail FROM input i
    WHERE EXISTS (
        SELECT FROM attempts t WHERE t.application_id = i.id AND t.attempt = i.attempt AND t.worker_id = $8)
      AND NOT EXISTS (
        SELECT FROM attempts t WHERE t.application_id = i.id AND t.attempt > i.attempt)
    ON CONFLICT (application_id) DO NOTHING
    RETURNING application_id, attempt, status
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt)
    SELECT application_id, status, 'worker:' || $8::text, attempt FROM written
)
SELECT application_id FROM written
UNION ALL
SELECT r.application_id FROM input i
JOIN results r ON r.application_id = i.id AND r.attempt = i.attempt
JOIN attempts t ON t.application_id = i.id AND t.attempt = i.attempt AND t.worker_id = $8

-- name: complete_unfenced
-- `complete` without its guard, for the off-switch test of promise 2: whoever comes last wins.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::float8[], $5::text[], $6::jsonb[])
        AS i (id, attempt, status, score, reason, detail)
), written AS (
    INSERT INTO results (application_id, attempt, pipeline, status, score, reason, detail)
    SELECT id, attempt, $7, status, score, reason, detail FROM input i
    ON CONFLICT (application_id) DO UPDATE SET
        attempt = excluded.attempt, score = excluded.score, finished_at = excluded.finished_at
    RETURNING application_id, attempt, status
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt)
    SELECT application_id, status, 'worker:' || $8::text, attempt FROM written
)
SELECT application_id FROM written

-- name: end_attempt
-- An attempt ends without a result: $1 id, $2 attempt, $3 worker, $4 outcome, $5 why. Only the
-- holder of the latest attempt may say so, once.
UPDATE attempts t SET outcome = $4, detail = $5
WHERE application_id = $1 AND attempt = $2 AND worker_id = $3 AND outcome IS NULL
  AND NOT EXISTS (SELECT FROM attempts n WHERE n.application_id = $1 AND n.attempt > $2)
RETURNING true

-- name: errors
-- How many attempts of application $1 ended in an error.
SELECT count(*) FROM attempts WHERE application_id = $1 AND outcome = 'errored'

-- name: schedule_retry
-- To be tried again $3 seconds from now. $1 id, $2 pipeline.
INSERT INTO retries (application_id, pipeline, due_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (application_id) DO UPDATE SET due_at = excluded.due_at

-- name: take_due_retries
-- Retries of pipeline $1 whose time has come, at most $2, oldest first; gone from the table when
-- the transaction that publishes them commits.
DELETE FROM retries WHERE application_id IN (
    SELECT application_id FROM retries WHERE pipeline = $1 AND due_at <= clock_timestamp()
    ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING application_id

-- name: unfinished
-- The unfinished applications of pipeline $1 with an id in ($2, $3], oldest first, at most $4.
-- `held`: a live worker may still write. `scheduled`: a retry brings it back by itself.
SELECT a.id, a.traceparent, coalesce(t.attempt, 0) AS attempt, t.outcome,
       (l.key IS NOT NULL OR coalesce(t.outcome IS NULL AND w.lease_expires_at > clock_timestamp(), false)) AS held,
       EXISTS (SELECT FROM retries e WHERE e.application_id = a.id) AS scheduled,
       (SELECT count(*) FROM attempts n WHERE n.application_id = a.id AND n.outcome IS NULL) AS abandoned
FROM applications a
LEFT JOIN LATERAL (
    SELECT attempt, outcome, worker_id FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
LEFT JOIN workers w ON w.id = t.worker_id
LEFT JOIN (
    SELECT DISTINCT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) l ON l.key = ('x' || right(replace(a.id::text, '-', ''), 16))::bit(64)::bigint
WHERE a.pipeline = $1 AND a.id > $2 AND a.id <= $3
  AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
ORDER BY a.id LIMIT $4

-- name: dead_workers
-- Workers of pipeline $1 that neither hold their lock nor a valid lease.
SELECT w.id FROM workers w
WHERE w.pipeline = $1
  AND (w.lease_expires_at IS NULL OR w.lease_expires_at <= clock_timestamp())
  AND NOT EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32) | l.objid::bigint
          = ('x' || right(replace(w.id::text, '-', ''), 16))::bit(64)::bigint)

-- name: take_lease
-- Lead, if nobody else does: $1 name, $2 holder, $3 seconds. A new holder is a new term. Returns
-- the term, or nothing while somebody else's lease runs.
INSERT INTO leases (name, holder, term, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, expires_at = excluded.expires_at,
    term = leases.term + (leases.holder <> excluded.holder)::int
WHERE leases.holder = excluded.holder OR leases.expires_at <= clock_timestamp()
RETURNING term

-- name: assert_lease
-- Inside each transaction of a leader: $1 name, $2 holder, $3 term. The share lock keeps the next
-- leader from taking over until this transaction has ended.
SELECT 1 FROM leases
WHERE name = $1 AND holder = $2 AND term = $3 AND expires_at > clock_timestamp() FOR SHARE
