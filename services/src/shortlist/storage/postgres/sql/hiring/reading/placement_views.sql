-- What is answered about placements as they are now. Reads only.

-- name: waiting(opening_id, after, limit)
-- Lists who waits, in the line's order, behind a key. A client. In front of the newest event's first floor
-- there are only entries of those who left (`line.sql`).
SELECT p.*, a.name, a.email
FROM placements p JOIN applicants a ON a.id = p.applicant_id
WHERE p.opening_id = :opening_id AND p.status = 'w' AND p.key > :after
  AND p.key >= coalesce(
      (SELECT floors[1] FROM opening_events WHERE opening_id = :opening_id ORDER BY sequence DESC LIMIT 1), '')
ORDER BY p.key LIMIT :limit

-- name: holders(opening_id, since, applied, limit)
-- Lists who is ACTIVE or PENDING_ACKNOWLEDGMENT, in the order in which they got their places, behind one who
-- got a place at a time (null: from the start) and has an APPLIED event. A client.
SELECT p.*, a.name, a.email, coalesce(p.promoted_at, p.since) AS held_since
FROM placements p JOIN applicants a ON a.id = p.applicant_id
WHERE p.opening_id = :opening_id AND p.status IN ('a', 'p')
  AND (coalesce(p.promoted_at, p.since), p.applied_sequence) > (coalesce(:since::timestamptz, '-infinity'), :applied::bigint)
ORDER BY coalesce(p.promoted_at, p.since), p.applied_sequence LIMIT :limit

-- name: of_applicant(applicant_id)
-- Lists all of an applicant's placements with their openings' titles, oldest first. A client.
SELECT p.*, o.title
FROM placements p JOIN openings o ON o.id = p.opening_id
WHERE p.applicant_id = :applicant_id ORDER BY p.applied_at, p.id

-- name: one(placement_id)
-- Reads one placement with its applicant and its opening's title. A client.
SELECT p.*, a.name, a.email, o.title
FROM placements p JOIN applicants a ON a.id = p.applicant_id JOIN openings o ON o.id = p.opening_id
WHERE p.id = :placement_id

-- name: scores(placement_ids)
-- Reads the newest score of each of some placements' payloads. A client.
SELECT DISTINCT ON (placement_id) placement_id, application_id, status, score, reason, detail, finished_at
FROM placement_scores WHERE placement_id = ANY (:placement_ids::bigint[])
ORDER BY placement_id, finished_at DESC NULLS LAST

-- name: moved_ahead(opening_id, key, limit)
-- Lists whom the company has put in front of a key: where, and when. A client who asks why.
SELECT p.key, e.at
FROM placements p
JOIN opening_events e ON e.opening_id = p.opening_id AND e.sequence = p.last_sequence
WHERE p.opening_id = :opening_id AND p.status = 'w' AND p.moved AND p.key < :key
ORDER BY p.key LIMIT :limit

-- name: offers(opening_id, limit)
-- Lists the deadlines of an opening's offers, the earliest first. A company that asks why.
SELECT deadline FROM placements WHERE opening_id = :opening_id AND status = 'p' ORDER BY deadline LIMIT :limit

-- name: found(opening_id, statuses, words, minimum, sort, after_rank, after_text, after_id, limit)
-- Lists an opening's placements of some statuses, with a part of a name or of an address, and with a score
-- not below a minimum, in one of four orders, behind a row of that order. Null: any. A company's list.
-- position: who holds a place, in the order of getting it, then the line, then who left, in that order. Of each
-- opening all placements are looked at: live ones and others by an index each; and their applicants only where
-- a name decides.
WITH placed AS (
    SELECT * FROM placements WHERE opening_id = :opening_id AND status <> 'i'
    UNION ALL
    SELECT * FROM placements WHERE opening_id = :opening_id AND status = 'i'
), named AS (
    SELECT p.*, '' AS name_key FROM placed p WHERE :words::text IS NULL AND :sort::text <> 'name'
    UNION ALL
    SELECT p.*, lower(coalesce(a.name, ''))
    FROM placed p JOIN applicants a ON a.id = p.applicant_id
    WHERE (:words::text IS NOT NULL OR :sort::text = 'name')
      AND (:words::text IS NULL OR strpos(lower(a.name), lower(:words::text)) > 0
           OR strpos(lower(a.email), lower(:words::text)) > 0)
), found AS (
    SELECT n.id,
           CASE :sort::text
               WHEN 'score' THEN coalesce(-n.score, 1)
               WHEN 'appliedAt' THEN n.applied_sequence
               WHEN 'position' THEN CASE n.status WHEN 'w' THEN 1 WHEN 'i' THEN 2 ELSE 0 END
               ELSE 0
           END::float8 AS rank,
           CASE :sort::text
               WHEN 'name' THEN convert_to(n.name_key, 'UTF8')
               WHEN 'position' THEN CASE n.status
                   WHEN 'w' THEN n.key
                   WHEN 'i' THEN int8send(n.last_sequence)
                   ELSE int8send((extract(epoch FROM coalesce(n.promoted_at, n.since)) * 1000)::bigint)
                        || int8send(n.applied_sequence)
               END
               ELSE ''::bytea
           END AS text
    FROM named n
    WHERE (:statuses::text[] IS NULL OR n.status::text = ANY (:statuses::text[]))
      AND (:minimum::float8 IS NULL OR n.score >= :minimum::float8)
), page AS (
    SELECT * FROM found
    WHERE :after_id::bigint IS NULL OR (rank, text, id) > (:after_rank::float8, :after_text::bytea, :after_id::bigint)
    ORDER BY rank, text, id LIMIT :limit
)
SELECT (SELECT count(*) FROM found) AS total, f.rank, f.text, p.*, a.name, a.email
FROM (SELECT) one
LEFT JOIN page f ON true
LEFT JOIN placements p ON p.id = f.id
LEFT JOIN applicants a ON a.id = p.applicant_id
ORDER BY f.rank, f.text, f.id
