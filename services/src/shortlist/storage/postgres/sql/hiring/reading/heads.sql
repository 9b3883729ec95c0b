-- Heads: every 1 000 events the first in line and the first of those who hold places, so that a first page of
-- any moment is one of these and a short fold (docs/decisions/0044). Derived; the leader writes them.

-- name: newest(opening_id, sequence)
-- Reads the last head that is not behind a sequence, with the totals of its event.
SELECT h.*, e.held, e.waiting
FROM opening_heads h JOIN opening_events e USING (opening_id, sequence)
WHERE h.opening_id = :opening_id AND h.sequence <= :sequence ORDER BY h.sequence DESC LIMIT 1

-- name: write(opening_id, sequence, line, line_keys, holders, holds, since, applied, sums)
-- Writes a head with the digest of its event. The leader.
INSERT INTO opening_heads (opening_id, sequence, digest, line, line_keys, holders, holds, since, applied, sums)
SELECT opening_id, sequence, digest, :line::bigint[], :line_keys::bytea[], :holders::bigint[], :holds::text,
       :since::timestamptz[], :applied::bigint[], :sums::jsonb
FROM opening_events WHERE opening_id = :opening_id AND sequence = :sequence
ON CONFLICT DO NOTHING

-- name: sums(opening_id, after, upto)
-- Adds up what happened behind an event and up to another: applications, misses, first promotions and
-- acknowledgements, and the seconds from applying, and from the promotion, until then.
SELECT count(*) FILTER (WHERE e.type = 'a') AS applied,
       count(*) FILTER (WHERE e.type = 'd') AS missed,
       count(*) FILTER (WHERE e.type = 'p' AND before.at IS NULL) AS promoted,
       coalesce(sum(extract(epoch FROM e.at - p.applied_at)) FILTER (WHERE e.type = 'p' AND before.at IS NULL), 0)::float8
           AS promoted_seconds,
       count(*) FILTER (WHERE e.type = 'k') AS acknowledged,
       coalesce(sum(extract(epoch FROM e.at - before.at)) FILTER (WHERE e.type = 'k'), 0)::float8 AS acknowledged_seconds
FROM opening_events e
LEFT JOIN placements p ON p.id = e.placement_id AND e.type = 'p'
LEFT JOIN LATERAL (
    SELECT b.at FROM opening_events b
    WHERE b.placement_id = e.placement_id AND b.type = 'p' AND b.sequence < e.sequence
    ORDER BY b.sequence DESC LIMIT 1
) before ON e.type IN ('p', 'k')
WHERE e.opening_id = :opening_id AND e.sequence > :after AND e.sequence <= :upto

-- name: wanted(after, every, limit)
-- Looks at so many openings behind an id; whether each lacks a head. The leader, slice by slice.
SELECT o.id,
       coalesce((SELECT sequence FROM opening_events e WHERE e.opening_id = o.id ORDER BY sequence DESC LIMIT 1), 0)
     - coalesce((SELECT sequence FROM opening_heads h WHERE h.opening_id = o.id ORDER BY sequence DESC LIMIT 1), 0)
       >= :every AS lacks
FROM openings o WHERE o.id > :after ORDER BY o.id LIMIT :limit

-- name: between(opening_id, after, upto)
-- Lists an opening's heads behind an event and up to another, oldest first. Who verifies.
SELECT h.*, e.held, e.waiting
FROM opening_heads h JOIN opening_events e USING (opening_id, sequence)
WHERE h.opening_id = :opening_id AND h.sequence > :after AND h.sequence <= :upto ORDER BY h.sequence
