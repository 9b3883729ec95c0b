-- An opening as it was after an event (docs/decisions/0044). Reads only, in one snapshot: what stood then is
-- either a span that has ended since, or a row that has stood since then or before.

-- name: at_time(opening_id, as_of)
-- Finds the last event at or before a time. Times never run backwards, so the sequence is halved until it is
-- found: some 20 looks at the primary key among a million events, and no index of times to keep.
WITH RECURSIVE between (low, high) AS (
    SELECT 0::bigint, coalesce((SELECT max(sequence) FROM opening_events WHERE opening_id = :opening_id), 0)
    UNION ALL
    SELECT CASE WHEN middle.at <= :as_of THEN middle.sequence ELSE low END,
           CASE WHEN middle.at <= :as_of THEN high ELSE middle.sequence - 1 END
    FROM between
    CROSS JOIN LATERAL (
        SELECT sequence, at FROM opening_events
        WHERE opening_id = :opening_id AND sequence = (low + high + 1) / 2 OFFSET 0
    ) middle
    WHERE low < high
)
SELECT e.sequence, e.at, e.held, e.waiting, e.floors[1] AS floor
FROM between b JOIN opening_events e ON e.opening_id = :opening_id AND e.sequence = b.low
WHERE b.low = b.high

-- name: at_sequence(opening_id, sequence)
-- Finds the last event that is not behind a sequence.
SELECT sequence, at, held, waiting, floors[1] AS floor FROM opening_events
WHERE opening_id = :opening_id AND sequence <= :sequence ORDER BY sequence DESC LIMIT 1

-- name: rules(opening_id, sequence)
-- Reads the capacity at an event, and counts the opening's own events until then.
SELECT (SELECT (metadata ->> 'capacity')::integer FROM opening_events
        WHERE opening_id = :opening_id AND placement_id IS NULL AND sequence <= :sequence AND metadata ? 'capacity'
        ORDER BY sequence DESC LIMIT 1) AS capacity,
       (SELECT count(*) FROM opening_events
        WHERE opening_id = :opening_id AND placement_id IS NULL AND sequence <= :sequence) AS own_events

-- name: waiting(opening_id, sequence, after, from_key, limit)
-- Lists who waited after an event, in the line's order, behind a key, from another key at the earliest.
(SELECT key, id FROM placements
 WHERE opening_id = :opening_id AND status = 'w' AND stands_from <= :sequence
   AND key > :after AND key >= :from_key ORDER BY key LIMIT :limit)
UNION ALL
(SELECT key, placement_id FROM placement_spans
 WHERE opening_id = :opening_id AND status = 'w' AND from_sequence <= :sequence AND to_sequence > :sequence
   AND key > :after AND key >= :from_key ORDER BY key LIMIT :limit)
ORDER BY key LIMIT :limit

-- name: holders(opening_id, sequence, since, applied, limit)
-- Lists who held places after an event, in the order in which they got them, behind one who got a place at a
-- time (null: from the start) and has an APPLIED event.
(SELECT coalesce(promoted_at, since) AS since, applied_sequence AS applied, id, status FROM placements
 WHERE opening_id = :opening_id AND status IN ('a', 'p') AND stands_from <= :sequence
   AND (coalesce(promoted_at, since), applied_sequence) > (coalesce(:since::timestamptz, '-infinity'), :applied::bigint)
 ORDER BY coalesce(promoted_at, since), applied_sequence LIMIT :limit)
UNION ALL
(SELECT s.since, p.applied_sequence, s.placement_id, s.status
 FROM placement_spans s JOIN placements p ON p.id = s.placement_id
 WHERE s.opening_id = :opening_id AND s.status IN ('a', 'p') AND s.from_sequence <= :sequence AND s.to_sequence > :sequence
   AND s.since >= coalesce(:since::timestamptz, '-infinity')
   AND (s.since, p.applied_sequence) > (coalesce(:since::timestamptz, '-infinity'), :applied::bigint)
 ORDER BY s.since, p.applied_sequence LIMIT :limit)
ORDER BY since, applied LIMIT :limit

-- name: changes(opening_id, after, upto)
-- Lists what each placement's event changed, behind an event and up to another.
SELECT e.at, e.placement_id, e.from_status, e.to_status, e.leaves, e.joins, p.applied_sequence AS applied
FROM opening_events e JOIN placements p ON p.id = e.placement_id
WHERE e.opening_id = :opening_id AND e.sequence > :after AND e.sequence <= :upto
ORDER BY e.sequence

-- name: people(placement_ids)
-- Reads whose some placements are.
SELECT p.id, p.applicant_id, a.name
FROM placements p JOIN applicants a ON a.id = p.applicant_id WHERE p.id = ANY (:placement_ids::bigint[])
