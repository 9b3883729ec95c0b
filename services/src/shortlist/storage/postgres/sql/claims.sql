-- Claims, and what a worker writes at the end of one. A claim is a row in `attempts`; its number is the fence.
-- A claim is let go of when it is open, its worker lives, and a list of what that holds, made after it
-- asked for the claim, lacks it: `attempts.lists` < `workers.lists`, and not in `workers.holds`
-- (`shortlist.worker.claims.lists`). Without numbers, as of the release before: not let go of.
-- OFFSET 0 keeps the planner from turning a probe of a primary key into a join with the whole table. It
-- would do so where a table looks small to it; plans that were prepared then outlive that.
-- A lease runs while its end is ahead, and by no more than twice its length: one that ends later was
-- written by a clock that has been set back since. Workers' leases are of 3 s (`queries/workers.py`).
-- A retry that is due in more than ten minutes was written by a clock that has been set back since; it is
-- due now.

-- name: claim(ids, worker_id, alone, suspect_after, lists)
-- Claims for a worker what may be claimed of some applications, as the next attempt of each, and returns
-- what is needed to score them. A worker, for each delivery. In mode perJob it holds the session lock of
-- each id already; here the lock of the transaction keeps a perJob holder's work out of a perWrite worker's
-- hands (one's own locks never conflict). A worker may claim again what it claimed itself: the reply to its
-- first try may have got lost. It must not ask for what it is scoring.
-- Its commit does not wait for the disk: a crash of Postgres may forget the newest claims, and then
-- their verdicts do not count and the sweep finds the work, as with any other claim that is lost. A
-- verdict's commit waits, and what was written before it is on the disk with it.
-- `alone`: the worker holds nothing else, and will not until this has ended; written with the attempt.
-- `suspect_after`: what was abandoned that often is not claimed but returned with no attempt, with how often
-- it was abandoned in all and alone, and the seconds since it was last claimed, and since this worker
-- enrolled; null: nothing is.
-- `lists`: how many lists of what it holds the worker has made; null in mode perJob, which makes none.
WITH free AS MATERIALIZED (
    SELECT a.id, coalesce(t.attempt, 0) + 1 AS attempt, t.claimed_at, b.total, b.alone,
           coalesce(b.total >= :suspect_after::integer, false) AS suspected
    FROM unnest(:ids::uuid[]) AS i (id)
    CROSS JOIN LATERAL (SELECT id FROM applications WHERE id = i.id OFFSET 0) a
    LEFT JOIN LATERAL (
        SELECT attempt, outcome, worker_id, claimed_at, lists FROM attempts
        WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
    ) t ON true
    LEFT JOIN LATERAL (SELECT * FROM abandonments(a.id) WHERE t.attempt >= :suspect_after::integer OFFSET 0) b ON true
    WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id OFFSET 0)
      AND NOT EXISTS (SELECT FROM retries e WHERE e.application_id = a.id AND e.due_at BETWEEN now() AND now() + interval '10 min' OFFSET 0)
      AND NOT EXISTS (
          SELECT FROM workers w
          WHERE w.id = t.worker_id AND w.id <> :worker_id AND t.outcome IS NULL AND w.lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s'
            AND (t.lists < w.lists AND a.id <> ALL (w.holds)) IS NOT TRUE
          OFFSET 0)
      AND pg_try_advisory_xact_lock(lock_key(a.id))
), claimed AS (
    INSERT INTO attempts (application_id, attempt, worker_id, alone, lists)
    SELECT id, attempt, :worker_id, :alone::boolean, :lists::integer FROM free WHERE NOT suspected
    ON CONFLICT DO NOTHING
    RETURNING application_id, attempt
)
SELECT a.id, c.attempt, a.candidate, a.payload, a.traceparent,
       greatest(0, extract(epoch FROM clock_timestamp() - a.accepted_at))::float8 AS waited_seconds,
       NULL::integer AS abandoned, NULL::integer AS alone, NULL::float8 AS since_claim_seconds, NULL::float8 AS worker_age_seconds,
       set_config('synchronous_commit', 'off', true)
FROM claimed c
CROSS JOIN LATERAL (SELECT * FROM applications WHERE id = c.application_id OFFSET 0) a
UNION ALL
SELECT f.id, NULL, NULL, NULL, NULL, NULL, f.total, f.alone,
       extract(epoch FROM clock_timestamp() - f.claimed_at)::float8,
       coalesce(
           (SELECT extract(epoch FROM clock_timestamp() - w.started_at)::float8 FROM workers w WHERE w.id = :worker_id),
           0),
       NULL
FROM free f WHERE f.suspected

-- name: postpone(application_id, pipeline, seconds)
-- Has an application put back in the line some seconds from now, without an attempt. A worker that must not
-- score a suspect now.
INSERT INTO retries (application_id, pipeline, due_at)
VALUES (:application_id, :pipeline, clock_timestamp() + make_interval(secs => :seconds))
ON CONFLICT (application_id) DO NOTHING

-- name: owns(application_id, attempt, worker_id)
-- Tells whether a worker's attempt is still the latest, and open. A worker, after its connection broke.
SELECT EXISTS (
    SELECT FROM attempts WHERE application_id = :application_id AND attempt = :attempt AND worker_id = :worker_id AND outcome IS NULL)
   AND NOT EXISTS (SELECT FROM attempts WHERE application_id = :application_id AND attempt > :attempt)

-- name: complete(ids, attempts, statuses, scores, reasons, details, pipeline, worker_id)
-- Writes verdicts, each with its fence checked: the writer's attempt exists, is the latest, and no
-- result is there yet. A worker, once for each batch. Result and audit in one transaction. The arrays have
-- one element for each verdict. Returns whose verdict counted, now or when the same was sent before: a
-- commit whose answer got lost may be repeated.
WITH input AS (
    SELECT * FROM unnest(:ids::uuid[], :attempts::int[], :statuses::text[], :scores::float8[], :reasons::text[], :details::jsonb[])
        AS i (id, attempt, status, score, reason, detail)
), written AS (
    INSERT INTO results (application_id, attempt, pipeline, status, score, reason, detail)
    SELECT id, attempt, :pipeline, status, score, reason, detail FROM input i
    WHERE EXISTS (
        SELECT FROM attempts t
        WHERE t.application_id = i.id AND t.attempt = i.attempt AND t.worker_id = :worker_id AND t.outcome IS NULL
        OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM attempts t WHERE t.application_id = i.id AND t.attempt > i.attempt OFFSET 0)
    ON CONFLICT (application_id) DO NOTHING
    RETURNING application_id, attempt, status
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt)
    SELECT application_id, status, 'worker:' || :worker_id::text, attempt FROM written
)
SELECT application_id FROM written
UNION ALL
SELECT id FROM input i
WHERE EXISTS (SELECT FROM results r WHERE r.application_id = i.id AND r.attempt = i.attempt OFFSET 0)
  AND EXISTS (
    SELECT FROM attempts t
    WHERE t.application_id = i.id AND t.attempt = i.attempt AND t.worker_id = :worker_id OFFSET 0)

-- name: end_attempt(application_id, attempt, worker_id, outcome, detail, pipeline, retry_seconds)
-- Ends an attempt without a result. A worker: only the holder of the latest attempt may, once.
-- `detail` says why. `retry_seconds`: from now until it is to be tried again; null: this does not
-- schedule it.
WITH ended AS (
    UPDATE attempts t SET outcome = :outcome, detail = :detail
    WHERE application_id = :application_id AND attempt = :attempt AND worker_id = :worker_id AND outcome IS NULL
      AND NOT EXISTS (SELECT FROM attempts n WHERE n.application_id = :application_id AND n.attempt > :attempt)
    RETURNING application_id
), scheduled AS (
    INSERT INTO retries (application_id, pipeline, due_at)
    SELECT application_id, :pipeline, clock_timestamp() + make_interval(secs => :retry_seconds) FROM ended
    WHERE :retry_seconds::float8 IS NOT NULL
    ON CONFLICT (application_id) DO UPDATE SET due_at = excluded.due_at
)
SELECT EXISTS (SELECT FROM ended)

-- name: ended(application_id, outcome)
-- Counts the attempts of an application that ended with an outcome since it was last requeued. A worker,
-- to decide whether to try again.
SELECT count(*) FROM attempts
WHERE application_id = :application_id AND outcome = :outcome AND attempt > coalesce(
    (SELECT max(attempt) FROM audit_log WHERE application_id = :application_id AND event = 'requeued'), 0)

-- name: others_scored(application_id, pipeline)
-- Tells whether another application of the pipeline was scored since the last attempt of this one that
-- ended in an error began. A worker, before it blames this one.
SELECT scored_near(:application_id::uuid, :pipeline::text, (
    SELECT max(claimed_at) FROM attempts WHERE application_id = :application_id AND outcome = 'errored'))

-- name: latest_attempt(application_id)
-- Returns the number of the latest attempt; 0 without one. A worker, before `fail`.
SELECT coalesce(max(attempt), 0) FROM attempts WHERE application_id = :application_id

-- name: fail(application_id, attempt, pipeline, reason, actor)
-- Writes that an application has failed for a reason, unless a worker holds it or claimed it after
-- `attempt`. The leader's sweep, and a worker whose claim is refused for the application's data; `actor` says
-- which in the audit. Result and audit in one transaction. Returns the id if it counted.
WITH written AS (
    INSERT INTO results (application_id, attempt, pipeline, status, reason)
    SELECT :application_id::uuid, :attempt::int, :pipeline::text, 'failed', :reason::text
    WHERE NOT EXISTS (SELECT FROM attempts WHERE application_id = :application_id AND attempt > :attempt)
      AND pg_try_advisory_xact_lock(lock_key(:application_id))
    ON CONFLICT (application_id) DO NOTHING
    RETURNING application_id, attempt
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt, detail)
    SELECT application_id, 'failed', :actor::text, attempt, jsonb_build_object('reason', :reason::text) FROM written
)
SELECT application_id FROM written
