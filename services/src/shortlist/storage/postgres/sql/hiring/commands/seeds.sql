-- Openings and applicants to begin with. `shortlist seed`.

-- name: titles()
-- Lists the titles of all openings.
SELECT DISTINCT title FROM openings

-- name: is_there(email_key)
-- Tells whether an applicant is there.
SELECT EXISTS (SELECT FROM applicants WHERE email_key = :email_key)

-- name: applicants(names, emails, email_keys, times)
-- Makes applicants who came at these times; returns their ids, in the order of the times.
INSERT INTO applicants (name, email, email_key, created_at)
SELECT * FROM unnest(:names::text[], :emails::text[], :email_keys::text[], :times::timestamptz[]) AS made(name, email, email_key, at)
ORDER BY at
RETURNING id

-- name: placement_ids(count)
-- Draws ids of placements.
SELECT nextval('placement_ids') AS id FROM generate_series(1, :count::int)

-- name: set_created_at(opening_id, at)
-- Says that an opening was made at a time in the past.
UPDATE openings SET created_at = :at::timestamptz WHERE id = :opening_id
