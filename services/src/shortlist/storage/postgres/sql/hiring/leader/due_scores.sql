-- Scores that have arrived, and by which no line was ordered yet. A trigger marks them (`note_scores`).
-- `after`: the leader has done all that arrived before it; see `deadlines.sql`.

-- name: due(after, excluded, limit)
-- Lists openings with scores that are due, the longest due first, with whose they are, and for how many seconds the
-- oldest has been. The leader. `excluded`: openings that are left out; `limit`: scores that are looked at.
WITH due AS (
    SELECT application_id, opening_id, finished_at FROM placement_scores
    WHERE is_due AND finished_at > :after AND opening_id <> ALL(:excluded::bigint[])
    ORDER BY finished_at LIMIT :limit
)
SELECT opening_id, array_agg(application_id ORDER BY finished_at) AS applications,
       extract(epoch FROM clock_timestamp() - min(finished_at))::float8 AS late_seconds
FROM due GROUP BY opening_id ORDER BY late_seconds DESC

-- name: lock(ids)
-- Locks those of some scores that are due and that no worker writes just now, and returns them as they are, in the
-- order in which they arrived. The leader, which has locked their openings.
SELECT application_id, placement_id, opening_id, CASE WHEN status = 'scored' THEN score END AS score
FROM placement_scores WHERE application_id = ANY(:ids::uuid[]) AND is_due
ORDER BY finished_at, application_id FOR NO KEY UPDATE SKIP LOCKED

-- name: done(ids)
-- Marks scores as done. The leader, in the transaction that has ordered the line by them.
UPDATE placement_scores SET is_due = false WHERE application_id = ANY(:ids::uuid[])
