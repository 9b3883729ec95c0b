-- What is answered of the audit. Reads only.

-- name: after(opening_id, after, upto, limit)
-- Lists an opening's events behind a sequence, at most up to another, oldest first. Streams, exports, and who
-- verifies an audit.
SELECT * FROM opening_events
WHERE opening_id = :opening_id AND sequence > :after AND sequence <= :upto ORDER BY sequence LIMIT :limit

-- name: before(opening_id, before, limit)
-- Lists the placements' events of an opening before a sequence, newest first. A replay.
SELECT * FROM opening_events
WHERE opening_id = :opening_id AND sequence < :before AND placement_id IS NOT NULL
ORDER BY sequence DESC LIMIT :limit

-- name: of_placements(placement_ids)
-- Lists all events of some placements, oldest first. A client.
SELECT * FROM opening_events WHERE placement_id = ANY (:placement_ids::bigint[]) ORDER BY at, id

-- name: of_applicant_before(applicant_id, before_at, before_id, limit)
-- Lists the events of an applicant's placements before one of them (null: all), newest first. A timeline.
SELECT e.*
FROM placements p JOIN opening_events e ON e.placement_id = p.id
WHERE p.applicant_id = :applicant_id
  AND (e.at, e.id) < (coalesce(:before_at::timestamptz, 'infinity'), coalesce(:before_id::bigint, 0))
ORDER BY e.at DESC, e.id DESC LIMIT :limit

-- name: of_applicant_after(applicant_id, after, limit)
-- Lists the events of an applicant's placements behind an event's id, in the order of their ids. A stream.
SELECT e.*
FROM placements p JOIN opening_events e ON e.placement_id = p.id
WHERE p.applicant_id = :applicant_id AND e.id > :after ORDER BY e.id LIMIT :limit

-- name: count_of_applicant(applicant_id)
-- Counts the events of an applicant's placements. A timeline.
SELECT count(*) FROM placements p JOIN opening_events e ON e.placement_id = p.id WHERE p.applicant_id = :applicant_id

-- name: to_fold(opening_id, placement_id, before)
-- Lists what makes a placement before a sequence: its own events and its opening's, oldest first. Who verifies.
SELECT * FROM opening_events WHERE opening_id = :opening_id AND placement_id IS NULL AND sequence < :before
UNION ALL
SELECT * FROM opening_events WHERE opening_id = :opening_id AND placement_id = :placement_id AND sequence < :before
ORDER BY sequence

-- name: live(opening_id, after, limit)
-- Reads how the live placements of an opening stand, by the tables, behind an applicant's id. Who verifies.
SELECT id, applicant_id, status, key FROM placements
WHERE opening_id = :opening_id AND status <> 'i' AND applicant_id > :after ORDER BY applicant_id LIMIT :limit
