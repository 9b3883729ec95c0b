-- Removes what hiring need not keep, in bounded batches, oldest first.

-- name: remove_answers(after, before, limit)
-- Removes the answers to calls with an Idempotency-Key that were given between two times, at most `limit`, oldest
-- first. The leader. Returns how many, and until when it removed; null: there was none.
WITH removed AS (
    DELETE FROM hiring_answers WHERE (key, route) IN (
        SELECT key, route FROM hiring_answers
        WHERE created_at >= :after AND created_at < :before ORDER BY created_at LIMIT :limit)
    RETURNING created_at
)
SELECT count(*) AS removed, max(created_at) AS until FROM removed

-- name: applicants_done(after, before, limit)
-- Finds, among the first `limit` applicants behind an id that were made before a time, those who are not erased
-- and have no live application, nor one that changed since. The leader. Returns how many it looked at, the last of
-- them, and what it found. A probe for each is right whatever the statistics say.
WITH looked AS MATERIALIZED (
    SELECT id, created_at, erased_at FROM applicants WHERE id > :after ORDER BY id LIMIT :limit
), old AS MATERIALIZED (
    SELECT id, erased_at FROM looked WHERE created_at < :before
)
SELECT (SELECT count(*) FROM old) AS looked_at, (SELECT max(id) FROM old) AS last,
       ARRAY(
           SELECT id FROM old
           WHERE erased_at IS NULL AND NOT EXISTS (
               SELECT FROM placements p
               WHERE p.applicant_id = old.id AND (p.status <> 'i' OR p.since >= :before) OFFSET 0)
           ORDER BY id) AS done
