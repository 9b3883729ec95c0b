-- What time causes in openings, found for the leader, which settles it (`hiring/settlement.py`).
-- An offer can be acknowledged until its deadline, to the millisecond: it has run out one millisecond later.
-- `after`: the leader has settled all offers that ran out before it. An old snapshot elsewhere keeps those in the
-- index, and reading them again would cost more each time.

-- name: next_due(after)
-- Returns Postgres's time, and the seconds until time causes something (negative: since). The leader.
SELECT clock_timestamp() AS now, extract(epoch FROM least(
    (SELECT deadline FROM placements WHERE status = 'p' AND deadline > :after ORDER BY deadline LIMIT 1)
        + interval '1 ms',
    (SELECT due_at FROM openings WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1)
) - clock_timestamp())::float8 AS seconds

-- name: due(after, excluded, limit)
-- Lists openings in which something is due, the longest due first, with how much (offers that ran out, and the
-- opening itself as one), and for how many seconds the oldest of it has been. The leader. `excluded`: openings that
-- are left out; `limit`: offers, and openings, that are looked at.
WITH ended AS (
    SELECT opening_id, deadline + interval '1 ms' AS due_at FROM placements
    WHERE status = 'p' AND deadline > :after AND deadline <= statement_timestamp() - interval '1 ms'
      AND opening_id <> ALL(:excluded::bigint[])
    ORDER BY deadline LIMIT :limit
), changing AS (
    SELECT id AS opening_id, due_at FROM openings
    WHERE due_at <= statement_timestamp() AND id <> ALL(:excluded::bigint[])
    ORDER BY due_at LIMIT :limit
)
SELECT opening_id, count(*)::int AS items, extract(epoch FROM clock_timestamp() - min(due_at))::float8 AS late_seconds
FROM (SELECT * FROM ended UNION ALL SELECT * FROM changing) AS found
GROUP BY opening_id ORDER BY late_seconds DESC

-- name: lock_free(ids)
-- Locks those of some openings that no other transaction has locked, ascending; returns which. The leader.
SELECT id FROM openings WHERE id = ANY(:ids::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED

-- name: lock(id)
-- Locks an opening, waiting for it; returns it if it is there. The leader, for no longer than `lock_timeout`.
SELECT id FROM openings WHERE id = :id FOR NO KEY UPDATE
