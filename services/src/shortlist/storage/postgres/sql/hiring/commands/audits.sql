-- The audit, for its commands.

-- name: has_digest(opening_id, digest)
-- Tells whether an event of an opening has a digest. `shortlist audit verify --head`; it reads all its events.
SELECT EXISTS (SELECT FROM opening_events WHERE opening_id = :opening_id AND digest = :digest)
