-- Hot SQL, and the SQL that is hard. Parameters are Postgres's own ($1 …).
-- Words: held = some live worker may still write for it; lost = unfinished, and nothing will
-- ever bring it to a worker. let go = open, its worker lives, and a list of what that holds, made
-- after it asked for the claim, lacks it: `attempts.lists` < `workers.lists`, and not in
-- `workers.holds` (`shortlist.worker.lists`). Without numbers, as of the release before: not let go.
-- OFFSET 0 keeps the planner from turning a probe of a primary key into a join with the whole table.
-- It would where a table looks small to it; prepared plans, made when it was, outlive that.
-- A lease runs while its end is ahead, and by no more than twice its length: one that ends later was
-- made by a clock that has been set back since. So was a retry that is due in more than ten minutes,
-- and it is due now. Workers' leases are of 3 s (`queries/workers.py`).

-- name: accept
-- One group of applications, in one statement. $1 ids, $2 pipelines, $3 candidates, $4 payloads,
-- $5 traceparents. Nothing once $6 has passed: ingest has given up by then, and a resumed
-- backend first executes what is in its socket buffer.
INSERT INTO applications (id, pipeline, candidate, payload, traceparent)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
WHERE now() < coalesce($6::timestamptz, 'infinity')

-- name: accept_keyed
-- The same for a group in which some carry an idempotency key ($7 keys, $8 body hashes). A key
-- belongs to a route and a pipeline: of each only the first application is inserted. Returns the ids
-- that were inserted. Sorted, so that two groups never wait for each other in a circle.
-- The release before has one table in which a key is one for all; its processes run beside ours
-- during a rollout. So a key is put there too, where it is free (`plain`), and what they put there
-- counts (`known`). A key that is not free there, and that this statement does not see there, was
-- just put there by another process: its application is not inserted, and has to be tried again.
WITH input AS (
    SELECT i.*, CASE WHEN candidate IS NULL THEN '/job' ELSE '/applications' END AS route
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $7::text[], $8::bytea[])
        AS i (id, pipeline, candidate, payload, traceparent, key, body_hash)
    WHERE now() < coalesce($6::timestamptz, 'infinity')
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

-- name: idempotency_owners
-- Who owns the keys of some applications that accept_keyed did not insert ($1 ids, $2 pipelines,
-- $3 whether they are jobs, $4 keys); those whose key belongs to none are left out.
SELECT i.id, coalesce(s.application_id, k.application_id) AS application_id,
       coalesce(s.body_hash, k.body_hash) AS body_hash
FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::text[]) AS i (id, pipeline, is_job, key)
LEFT JOIN scoped_idempotency_keys s
    ON s.route = CASE WHEN i.is_job THEN '/job' ELSE '/applications' END
   AND s.pipeline = i.pipeline AND s.key = i.key
LEFT JOIN (idempotency_keys k JOIN applications a ON a.id = k.application_id)
    ON k.key = i.key AND a.pipeline = i.pipeline AND (a.candidate IS NULL) = i.is_job
WHERE s.key IS NOT NULL OR k.key IS NOT NULL

-- name: unfinished_count
-- How many of pipeline $1 with an id below $2 are unfinished; counts no further than $3. What is
-- older than the sweep's beginning was finished.
SELECT count(*) FROM (
    SELECT FROM applications a
    WHERE a.pipeline = $1 AND a.id > (SELECT swept_to FROM pipelines WHERE name = $1)
      AND a.id < $2
      AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id OFFSET 0)
    LIMIT $3
) u

-- name: views
-- The truth about some applications ($1 ids): by primary keys only, whatever the tables' size.
SELECT a.id, a.pipeline, a.candidate, a.accepted_at,
       r.status, r.score, r.reason, r.finished_at,
       t.attempt, t.outcome
FROM applications a
LEFT JOIN LATERAL (SELECT * FROM results WHERE application_id = a.id OFFSET 0) r ON true
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
LEFT JOIN LATERAL (SELECT * FROM results WHERE application_id = a.id OFFSET 0) r ON true
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
) r CROSS JOIN LATERAL (
    SELECT id, candidate, accepted_at FROM applications WHERE id = r.application_id OFFSET 0
) a
ORDER BY r.score DESC, a.id

-- name: claim
-- Claims what may be claimed of $1 (ids) for worker $2, as the next attempt of each, and returns what
-- is needed to score them. The caller in mode perJob holds the session lock of each id already; here
-- the lock of the transaction keeps a perJob holder's work out of a perWrite worker's hands (one's own
-- locks never conflict). A worker may claim again what it claimed itself: the reply to its first try
-- may have got lost. It must not ask for what it is scoring.
-- Its commit does not wait for the disk: a crash of Postgres may forget the newest claims, and then
-- their verdicts do not count and the sweep finds the work, as with any other claim that is lost. A
-- verdict's commit waits, and what was written before it is on the disk with it.
-- $3: the worker holds nothing else, and will not until this has ended; it is written with the attempt.
-- What was abandoned $4 times is not claimed but returned with no attempt, with how often it was abandoned
-- in all and alone, and the seconds since it was last claimed, and since this worker enrolled. $4 null: nothing is.
-- $5: how many lists of what it holds the worker has made; null in mode perJob, which makes none.
WITH free AS MATERIALIZED (
    SELECT a.id, coalesce(t.attempt, 0) + 1 AS attempt, t.claimed_at, b.total, b.alone,
           coalesce(b.total >= $4::integer, false) AS suspected
    FROM unnest($1::uuid[]) AS i (id)
    CROSS JOIN LATERAL (SELECT id FROM applications WHERE id = i.id OFFSET 0) a
    LEFT JOIN LATERAL (
        SELECT attempt, outcome, worker_id, claimed_at, lists FROM attempts
        WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
    ) t ON true
    LEFT JOIN LATERAL (SELECT * FROM abandonments(a.id) WHERE t.attempt >= $4::integer OFFSET 0) b ON true
    WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id OFFSET 0)
      AND NOT EXISTS (SELECT FROM retries e WHERE e.application_id = a.id AND e.due_at BETWEEN now() AND now() + interval '10 min' OFFSET 0)
      AND NOT EXISTS (
          SELECT FROM workers w
          WHERE w.id = t.worker_id AND w.id <> $2 AND t.outcome IS NULL AND w.lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s'
            AND (t.lists < w.lists AND a.id <> ALL (w.holds)) IS NOT TRUE
          OFFSET 0)
      AND pg_try_advisory_xact_lock(lock_key(a.id))
), claimed AS (
    INSERT INTO attempts (application_id, attempt, worker_id, alone, lists)
    SELECT id, attempt, $2, $3::boolean, $5::integer FROM free WHERE NOT suspected
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
           (SELECT extract(epoch FROM clock_timestamp() - w.started_at)::float8 FROM workers w WHERE w.id = $2),
           0),
       NULL
FROM free f WHERE f.suspected

-- name: postpone
-- Application $1 of pipeline $2 is put back in the line $3 seconds from now, without an attempt.
INSERT INTO retries (application_id, pipeline, due_at)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (application_id) DO NOTHING

-- name: owns
-- Whether attempt $2 of application $1 by worker $3 is still the latest, and open.
SELECT EXISTS (
    SELECT FROM attempts WHERE application_id = $1 AND attempt = $2 AND worker_id = $3 AND outcome IS NULL)
   AND NOT EXISTS (SELECT FROM attempts WHERE application_id = $1 AND attempt > $2)

-- name: complete
-- Writes verdicts, each with its fence checked: the writer's attempt exists, is the latest, and no
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
        SELECT FROM attempts t
        WHERE t.application_id = i.id AND t.attempt = i.attempt AND t.worker_id = $8 AND t.outcome IS NULL
        OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM attempts t WHERE t.application_id = i.id AND t.attempt > i.attempt OFFSET 0)
    ON CONFLICT (application_id) DO NOTHING
    RETURNING application_id, attempt, status
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt)
    SELECT application_id, status, 'worker:' || $8::text, attempt FROM written
)
SELECT application_id FROM written
UNION ALL
SELECT id FROM input i
WHERE EXISTS (SELECT FROM results r WHERE r.application_id = i.id AND r.attempt = i.attempt OFFSET 0)
  AND EXISTS (
    SELECT FROM attempts t
    WHERE t.application_id = i.id AND t.attempt = i.attempt AND t.worker_id = $8 OFFSET 0)

-- name: end_attempt
-- An attempt ends without a result: $1 id, $2 attempt, $3 worker, $4 outcome, $5 why. Only the
-- holder of the latest attempt may say so, once. $6 pipeline, $7: how many seconds from now it is to
-- be tried again; null: not by this.
WITH ended AS (
    UPDATE attempts t SET outcome = $4, detail = $5
    WHERE application_id = $1 AND attempt = $2 AND worker_id = $3 AND outcome IS NULL
      AND NOT EXISTS (SELECT FROM attempts n WHERE n.application_id = $1 AND n.attempt > $2)
    RETURNING application_id
), scheduled AS (
    INSERT INTO retries (application_id, pipeline, due_at)
    SELECT application_id, $6, clock_timestamp() + make_interval(secs => $7) FROM ended
    WHERE $7::float8 IS NOT NULL
    ON CONFLICT (application_id) DO UPDATE SET due_at = excluded.due_at
)
SELECT EXISTS (SELECT FROM ended)

-- name: ended
-- How many attempts of application $1 ended with outcome $2, since it was last requeued.
SELECT count(*) FROM attempts
WHERE application_id = $1 AND outcome = $2 AND attempt > coalesce(
    (SELECT max(attempt) FROM audit_log WHERE application_id = $1 AND event = 'requeued'), 0)

-- name: others_scored
-- Whether another application of pipeline $2 was scored since the last attempt of application $1 that
-- ended in an error began.
SELECT scored_near($1::uuid, $2::text, (
    SELECT max(claimed_at) FROM attempts WHERE application_id = $1 AND outcome = 'errored'))

-- name: next_retry
-- Postgres's time, and seconds until the first retry is due (negative: since), looking only behind
-- $1, before which all was taken: an old snapshot elsewhere keeps the taken ones in the index. One
-- that is due far ahead is due now.
SELECT clock_timestamp() AS now, least(
    (SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM retries
     WHERE due_at > $1 ORDER BY due_at LIMIT 1),
    (SELECT 0 FROM retries WHERE due_at > clock_timestamp() + interval '10 min' LIMIT 1)) AS seconds

-- name: pipelines_with_due_retries
-- Pipelines that have a retry whose time has come, looking only behind $1.
SELECT p.name FROM pipelines p
WHERE EXISTS (
    SELECT FROM retries e
    WHERE e.pipeline = p.name
      AND ((due_at > $1 AND due_at <= statement_timestamp()) OR due_at > statement_timestamp() + interval '10 min')
)

-- name: take_due_retries
-- A pipeline's ($3) retries whose time has come, at most $2, oldest first, looking only behind $1;
-- gone from the table when the transaction that publishes them commits. Left out: those of removed
-- applications.
WITH due AS (
    SELECT application_id FROM retries
    WHERE pipeline = $3
      AND ((due_at > $1 AND due_at <= statement_timestamp()) OR due_at > statement_timestamp() + interval '10 min')
    ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM retries e USING due WHERE e.application_id = due.application_id
    RETURNING e.application_id, e.due_at
)
SELECT a.id, a.traceparent FROM taken t JOIN applications a ON a.id = t.application_id
ORDER BY t.due_at

-- name: unfinished
-- Which of the applications with an id in ($1, $2] have no result; of those above $4 only the ones
-- that a worker claimed. Looks at the first $3 of them only, so that it is short whatever the
-- tables hold. Returns how many it looked at, the last of these, and what it found, by id. OFFSET 0
-- keeps the planner from joining whole tables: a probe of the primary key for each is right whatever
-- the statistics say, stale or fresh.
WITH scanned AS MATERIALIZED (
    SELECT id FROM applications WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3
)
SELECT (SELECT count(*) FROM scanned) AS scanned,
       (SELECT id FROM scanned ORDER BY id DESC LIMIT 1) AS last,
       ARRAY(
           SELECT id FROM scanned s
           WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = s.id OFFSET 0)
             AND (id <= $4 OR EXISTS (SELECT FROM attempts t WHERE t.application_id = s.id OFFSET 0))
           ORDER BY id) AS unfinished

-- name: look
-- What is known of the unfinished of pipeline $1 among $2 (ids), by id; the finished are left out.
-- `held`: a live worker may still write. `open`: the latest claim was neither finished nor ended.
-- `let_go`: it is open, and its worker lives and does not hold it. `known`: its worker may live. `scheduled`: a retry brings it back by itself. `abandoned`: claims
-- that are open or were left open by their workers; `alone`: those of them whose worker held nothing else.
-- `others_end`, looked up for what was abandoned $3 times: another one was scored since.
WITH looked AS MATERIALIZED (
    SELECT unnest($2::uuid[]) AS id
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
       CASE WHEN b.total >= $3::integer THEN scored_near(i.id, $1, b.since) ELSE false END AS others_end
FROM looked i
CROSS JOIN LATERAL (
    SELECT traceparent FROM applications WHERE id = i.id AND pipeline = $1 OFFSET 0
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

-- name: not_unfinished
-- Which of $1 (ids) are finished, or gone altogether: nothing in the line needs them.
SELECT i.id FROM unnest($1::uuid[]) AS i (id)
WHERE NOT EXISTS (SELECT FROM applications a WHERE a.id = i.id OFFSET 0)
   OR EXISTS (SELECT FROM results r WHERE r.application_id = i.id OFFSET 0)

-- name: fail
-- Application $1 of pipeline $3 has failed for the reason $4, says $5, unless a worker holds it or
-- claimed it after attempt $2. Result and audit in one transaction. Returns the id if it counted.
WITH written AS (
    INSERT INTO results (application_id, attempt, pipeline, status, reason)
    SELECT $1::uuid, $2::int, $3::text, 'failed', $4::text
    WHERE NOT EXISTS (SELECT FROM attempts WHERE application_id = $1 AND attempt > $2)
      AND pg_try_advisory_xact_lock(lock_key($1))
    ON CONFLICT (application_id) DO NOTHING
    RETURNING application_id, attempt
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt, detail)
    SELECT application_id, 'failed', $5::text, attempt, jsonb_build_object('reason', $4::text) FROM written
)
SELECT application_id FROM written

-- name: requeue
-- Failed applications among $1 (ids) get another chance, says $2: their result goes (the audit
-- keeps it), their last claim is ended, and a retry is due now; all in one transaction. Returns
-- which they were.
WITH gone AS (
    DELETE FROM results WHERE application_id = ANY($1::uuid[]) AND status = 'failed'
    RETURNING application_id, pipeline, attempt, reason, finished_at
), ended AS (
    UPDATE attempts t SET outcome = 'errored', detail = left(gone.reason, 2000)
    FROM gone WHERE t.application_id = gone.application_id AND t.attempt = gone.attempt AND t.outcome IS NULL
), scheduled AS (
    INSERT INTO retries (application_id, pipeline, due_at)
    SELECT application_id, pipeline, clock_timestamp() FROM gone
    ON CONFLICT (application_id) DO UPDATE SET due_at = excluded.due_at
), audited AS (
    INSERT INTO audit_log (application_id, event, actor, attempt, detail)
    SELECT application_id, 'requeued', $2::text, attempt,
           jsonb_build_object('reason', reason, 'failed_at', finished_at)
    FROM gone
)
SELECT application_id FROM gone

-- name: remove_finished
-- Those of $1 (ids) that were finished before $2 are removed with all that belongs to them; kept
-- as one document each when $3. Deleting the result comes first, so that a requeue of the same
-- application and this exclude each other. Returns how many.
WITH gone AS (
    DELETE FROM results WHERE application_id = ANY($1::uuid[]) AND finished_at < $2 RETURNING *
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
    WHERE $3
    ON CONFLICT (id) DO NOTHING
)
SELECT count(*) FROM removed

-- name: witness_time
-- The time by which $1 may delete: Postgres's clock, but no more than $2 seconds after what was
-- witnessed before. Without that, a day after the newest application was accepted. Returns it, and
-- by how many seconds Postgres's clock is ahead of it.
INSERT INTO witnessed_time AS w (name, at)
SELECT $1, least(clock_timestamp(), coalesce(
    (SELECT accepted_at + interval '1 day' FROM applications ORDER BY id DESC LIMIT 1),
    clock_timestamp()))
ON CONFLICT (name) DO UPDATE SET
    at = greatest(w.at, least(clock_timestamp(), w.at + make_interval(secs => $2)))
RETURNING least(at, clock_timestamp()) AS at, extract(epoch FROM clock_timestamp() - at)::float8 AS ahead_seconds

-- name: dead_workers
-- Workers that neither hold their lock nor a valid lease.
SELECT id, pipeline FROM workers
WHERE (lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s') IS NOT true
  AND lock_key(id) NOT IN (SELECT key FROM held_locks)

-- name: forget_workers
-- Those of $1 (ids) that are dead, still, are forgotten. The conditions are those of dead_workers,
-- on the row itself, so that they are looked at again when it was just renewed.
DELETE FROM workers
WHERE id = ANY($1::uuid[])
  AND (lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s') IS NOT true
  AND lock_key(id) NOT IN (SELECT key FROM held_locks)

-- name: running_lease
-- Whether the lease $1, of at most $2 seconds, runs.
SELECT true FROM leases
WHERE name = $1 AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => $2)

-- name: take_lease
-- Lead in a new term, if no other replica does: $1 name, $2 holder, $3 seconds. Returns the
-- term, or nothing while a lease runs, and which run of the server it is of. The caller has locked
-- former leaders out.
INSERT INTO leases (name, holder, term, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, expires_at = excluded.expires_at, term = leases.term + 1
WHERE leases.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => 2 * $3)
RETURNING term, pg_postmaster_start_time() AS server

-- name: end_former_leaders
-- While no replica leads $1, by a lease of at most $2 seconds, end the sessions whose transactions
-- keep it from being taken.
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND mode = 'ShareLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid = (hashtext('shortlist.lease')::bigint & 4294967295)::oid
  AND objid = (hashtext($1)::bigint & 4294967295)::oid
  AND NOT EXISTS (
      SELECT FROM leases
      WHERE name = $1
        AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => $2))

-- name: renew_lease
-- Go on leading: $1 name, $2 holder, $3 term, $4 seconds, $5 run of the server. Nothing when another
-- has taken over, or when this is another server, or another run of it.
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => $4)
WHERE name = $1 AND holder = $2 AND term = $3 AND pg_postmaster_start_time() = $5
RETURNING term

-- name: assert_lease
-- Whether $2 leads $1 in term $3, now, by a lease of at most $4 seconds, on run $5 of the server.
SELECT true FROM leases
WHERE name = $1 AND holder = $2 AND term = $3 AND pg_postmaster_start_time() = $5
  AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => $4)
