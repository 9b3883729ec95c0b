-- A dry run of a file of people who apply (`queries/hiring/reading/imports.py`).

-- name: live(opening_id, email_keys)
-- Finds those of the addresses whose applicant has a live application to an opening. Ingest, in a dry run.
SELECT a.email_key FROM applicants a
JOIN placements p ON p.applicant_id = a.id AND p.opening_id = :opening_id AND p.status <> 'i'
WHERE a.email_key = ANY(:email_keys::text[])
