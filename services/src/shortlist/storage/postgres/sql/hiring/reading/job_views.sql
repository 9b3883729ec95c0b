-- What is answered about openings and applicants as they are now. Reads only.

-- name: openings(after, limit)
-- Lists openings with the totals of their newest events, oldest first. A client.
SELECT o.*, t.held, t.waiting
FROM openings o
CROSS JOIN LATERAL (
    SELECT held, waiting FROM opening_events WHERE opening_id = o.id ORDER BY sequence DESC LIMIT 1
) t
WHERE o.id > :after ORDER BY o.id LIMIT :limit

-- name: opening(opening_id)
-- Reads one opening, the totals, sequence and digest of its newest event, and the time. A client.
SELECT o.*, t.held, t.waiting, t.sequence, t.digest, clock_timestamp() AS now
FROM openings o
CROSS JOIN LATERAL (
    SELECT held, waiting, sequence, digest FROM opening_events
    WHERE opening_id = o.id ORDER BY sequence DESC LIMIT 1
) t
WHERE o.id = :opening_id

-- name: count_openings()
-- Counts all openings. A client's list.
SELECT count(*) FROM openings

-- name: applicants(after, limit)
-- Lists applicants, oldest first; not those who were erased. A client.
SELECT id, name, email, created_at FROM applicants
WHERE erased_at IS NULL AND id > :after ORDER BY id LIMIT :limit

-- name: applicant(applicant_id)
-- Reads one applicant, unless erased, and the time. A client.
SELECT id, name, email, created_at, clock_timestamp() AS now FROM applicants
WHERE erased_at IS NULL AND id = :applicant_id

-- name: count_applicants()
-- Counts applicants who were not erased. A client's list.
SELECT count(*) FROM applicants WHERE erased_at IS NULL
