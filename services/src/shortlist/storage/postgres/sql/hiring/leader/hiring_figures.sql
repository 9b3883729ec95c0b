-- What the leader shows of hiring.

-- name: places()
-- Sums up the openings that have not ended, by the order of their lines: places held and free, applicants who
-- wait, and the openings with a free place beside one of these. The leader. One descent of an index for each opening.
SELECT o.line_order, sum(e.held)::bigint AS held, sum(e.waiting)::bigint AS waiting,
       sum(greatest(0, o.capacity - e.held))::bigint AS free,
       count(*) FILTER (WHERE e.waiting > 0 AND e.held < o.capacity
           AND (o.fill_from IS NULL OR o.fill_from <= statement_timestamp())) AS unfilled
FROM openings o
CROSS JOIN LATERAL (
    SELECT held, waiting FROM opening_events WHERE opening_id = o.id ORDER BY sequence DESC LIMIT 1
) e
WHERE o.state <> 'ended' GROUP BY o.line_order
