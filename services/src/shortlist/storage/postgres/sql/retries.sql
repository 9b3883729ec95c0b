-- Retries that wait for their time, and another chance for what has failed.
-- A retry that is due in more than ten minutes was written by a clock that has been set back since; it is
-- due now.
-- `after`: the leader has taken all that was due before it. An old snapshot elsewhere keeps those in the
-- index, and reading them again would cost more each time.

-- name: next_due(after)
-- Returns Postgres's time, and the seconds until the first retry is due (negative: since). The leader.
SELECT clock_timestamp() AS now, least(
    (SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM retries
     WHERE due_at > :after ORDER BY due_at LIMIT 1),
    (SELECT 0 FROM retries WHERE due_at > clock_timestamp() + interval '10 min' LIMIT 1)) AS seconds

-- name: pipelines_due(after)
-- Lists the pipelines that have a retry that is due. The leader.
SELECT p.name FROM pipelines p
WHERE EXISTS (
    SELECT FROM retries e
    WHERE e.pipeline = p.name
      AND ((due_at > :after AND due_at <= statement_timestamp()) OR due_at > statement_timestamp() + interval '10 min')
)

-- name: take_due(after, limit, pipeline)
-- Removes a pipeline's retries that are due, at most `limit`, oldest first. The leader, which publishes
-- them before it commits. Left out: those of removed applications.
WITH due AS (
    SELECT application_id FROM retries
    WHERE pipeline = :pipeline
      AND ((due_at > :after AND due_at <= statement_timestamp()) OR due_at > statement_timestamp() + interval '10 min')
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
), taken AS (
    DELETE FROM retries e USING due WHERE e.application_id = due.application_id
    RETURNING e.application_id, e.due_at
)
SELECT a.id, a.traceparent FROM taken t JOIN applications a ON a.id = t.application_id
ORDER BY t.due_at

-- name: counts()
-- Counts the retries that wait, by pipeline. The leader, for its metrics.
SELECT pipeline, count(*) FROM retries GROUP BY pipeline

-- name: requeue(ids, actor)
-- Gives failed applications among some another chance. `shortlist requeue`; `actor` is written in the
-- audit. Their result goes (the audit keeps it), their last claim is ended, and a retry is due now; all in
-- one transaction. Returns which they were.
WITH gone AS (
    DELETE FROM results WHERE application_id = ANY(:ids::uuid[]) AND status = 'failed'
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
    SELECT application_id, 'requeued', :actor::text, attempt,
           jsonb_build_object('reason', reason, 'failed_at', finished_at)
    FROM gone
)
SELECT application_id FROM gone

-- name: failed(pipeline, reason_contains, after, limit)
-- Lists the ids above `after` of applications that have failed, in order. `shortlist requeue`.
-- `pipeline`, `reason_contains`: null for any.
SELECT application_id FROM results
WHERE status = 'failed' AND application_id > :after
  AND (:pipeline::text IS NULL OR pipeline = :pipeline)
  AND (:reason_contains::text IS NULL OR strpos(reason, :reason_contains) > 0)
ORDER BY application_id LIMIT :limit
