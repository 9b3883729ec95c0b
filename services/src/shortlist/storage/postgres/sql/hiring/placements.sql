-- Placements, as acts read them under the opening's lock, and write them.

-- name: by_id(ids)
-- Reads some placements. An act that names them, after it has locked their openings.
SELECT * FROM placements WHERE id = ANY(:ids::bigint[])

-- name: ended_offers(openings, since, before, limit)
-- Reads the offers of some openings that end from one time on and before another (null: whenever), earliest
-- first, at most `limit` of each. Every act, and the leader's settling. From `since` on, the time up to which all was settled,
-- so that no entry of an older offer is visited, which an old snapshot elsewhere keeps in the index.
SELECT p.*
FROM unnest(:openings::bigint[], :since::timestamptz[], :before::timestamptz[]) AS i (opening_id, since, before)
CROSS JOIN LATERAL (
    SELECT * FROM placements
    WHERE opening_id = i.opening_id AND status = 'p'
      AND deadline >= coalesce(i.since, '-infinity') AND deadline < coalesce(i.before, 'infinity')
    ORDER BY deadline, id LIMIT :limit
) p

-- name: head(openings, floors, counts)
-- Reads the first in line of some openings, so many of each, from a key on in front of which none waits. An
-- act that may promote them.
SELECT p.*
FROM unnest(:openings::bigint[], :floors::bytea[], :counts::integer[]) AS i (opening_id, floor, n)
CROSS JOIN LATERAL (
    SELECT * FROM placements
    WHERE opening_id = i.opening_id AND status = 'w' AND key >= i.floor
    ORDER BY key LIMIT i.n
) p

-- name: live_elsewhere(ids)
-- Returns which of some placements belong to applicants who have another live one in the same opening. A
-- company's act that would bring them back.
SELECT p.id FROM placements p
WHERE p.id = ANY(:ids::bigint[]) AND EXISTS (
    SELECT FROM placements o
    WHERE o.opening_id = p.opening_id AND o.applicant_id = p.applicant_id AND o.status <> 'i' AND o.id <> p.id
)

-- name: live_openings(applicant_id)
-- Returns the live placements of an applicant and their openings. The applicant's erasure.
SELECT id, opening_id FROM placements WHERE applicant_id = :applicant_id::bigint AND status <> 'i' ORDER BY id

-- name: around(opening_id, floor, skipped, ahead)
-- Returns the keys in front of and behind a position of the line, from a floor on: those with `ahead` - 1 and
-- with `ahead` in front of them, `skipped` placements not counted. A company's move.
SELECT key FROM placements
WHERE opening_id = :opening_id::bigint AND status = 'w' AND key >= :floor::bytea AND id <> ALL(:skipped::bigint[])
ORDER BY key OFFSET greatest(:ahead::bigint - 1, 0) LIMIT CASE WHEN :ahead::bigint > 0 THEN 2 ELSE 1 END

-- name: last(opening_id, skipped)
-- Returns the key at the end of the line, `skipped` placements not counted. A company's move beyond the end.
SELECT key FROM placements
WHERE opening_id = :opening_id::bigint AND status = 'w' AND id <> ALL(:skipped::bigint[])
ORDER BY key DESC LIMIT 1

-- name: insert(ids, opening_ids, applicant_ids, statuses, keys, applied_sequences, applied_ats, sinces, last_events, last_sequences, stands_from, misses, scores, moved, promoted_ats, deadlines, scoring_ids)
-- Makes placements. Applications, all of a transaction at once.
INSERT INTO placements (id, opening_id, applicant_id, status, key, applied_sequence, applied_at, since, last_event,
                        last_sequence, stands_from, misses, score, moved, promoted_at, deadline, scoring_id)
SELECT * FROM unnest(
    :ids::bigint[], :opening_ids::bigint[], :applicant_ids::bigint[], :statuses::"char"[], :keys::bytea[],
    :applied_sequences::bigint[], :applied_ats::timestamptz[], :sinces::timestamptz[], :last_events::"char"[],
    :last_sequences::bigint[], :stands_from::bigint[], :misses::integer[], :scores::float8[], :moved::boolean[],
    :promoted_ats::timestamptz[], :deadlines::timestamptz[], :scoring_ids::uuid[])

-- name: update(ids, statuses, keys, sinces, last_events, last_sequences, stands_from, misses, scores, moved, promoted_ats, deadlines)
-- Writes placements that changed. Every act, all of a transaction at once.
UPDATE placements p
SET status = c.status, key = c.key, since = c.since, last_event = c.last_event, last_sequence = c.last_sequence,
    stands_from = c.stands_from, misses = c.misses, score = c.score, moved = c.moved, promoted_at = c.promoted_at,
    deadline = c.deadline
FROM unnest(
    :ids::bigint[], :statuses::"char"[], :keys::bytea[], :sinces::timestamptz[], :last_events::"char"[],
    :last_sequences::bigint[], :stands_from::bigint[], :misses::integer[], :scores::float8[], :moved::boolean[],
    :promoted_ats::timestamptz[], :deadlines::timestamptz[]
) AS c (id, status, key, since, last_event, last_sequence, stands_from, misses, score, moved, promoted_at, deadline)
WHERE p.id = c.id

-- name: end_standings(opening_ids, placement_ids, statuses, keys, sinces, from_sequences, to_sequences)
-- Notes where placements stood until now (docs/decisions/0044). Every act, all of a transaction at once.
INSERT INTO placement_spans (opening_id, placement_id, status, key, since, from_sequence, to_sequence)
SELECT * FROM unnest(
    :opening_ids::bigint[], :placement_ids::bigint[], :statuses::"char"[], :keys::bytea[], :sinces::timestamptz[],
    :from_sequences::bigint[], :to_sequences::bigint[])
