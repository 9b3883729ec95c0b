-- Applicants: people, known by their address.

-- name: new_id()
-- Returns the id of an applicant who is about to be made. `Acts.register`, before its transaction: when that has
-- to be tried again, it finds whether the first try was committed after all.
SELECT nextval(pg_get_serial_sequence('applicants', 'id'))

-- name: insert(id, name, email, email_key)
-- Makes an applicant, unless the address is taken. `Acts.register`.
INSERT INTO applicants (id, name, email, email_key)
OVERRIDING SYSTEM VALUE
VALUES (:id::bigint, :name::text, :email::text, :email_key::text)
ON CONFLICT DO NOTHING

-- name: of_address(email_key)
-- Reads the applicant who has an address. `Acts.register`, for what it just made.
SELECT id, name, email, created_at FROM applicants WHERE email_key = :email_key::text

-- name: present(id)
-- Reads an applicant who is not erased. `Acts.register`, for a call that is repeated.
SELECT id, name, email, created_at FROM applicants WHERE id = :id::bigint AND erased_at IS NULL

-- name: applying(applicant_ids, openings)
-- Finds who applies where: each applicant who is there and not erased, and their live placement in the opening,
-- if they have one. An application by id, after its opening is locked. No applicant is erased before it commits.
SELECT a.id, i.opening_id, p.id AS live
FROM unnest(:applicant_ids::bigint[], :openings::bigint[]) AS i (applicant_id, opening_id)
CROSS JOIN LATERAL (
    SELECT id FROM applicants WHERE id = i.applicant_id AND erased_at IS NULL OFFSET 0 FOR KEY SHARE
) a
LEFT JOIN LATERAL (
    SELECT id FROM placements
    WHERE opening_id = i.opening_id AND applicant_id = i.applicant_id AND status <> 'i' OFFSET 0
) p ON true

-- name: applying_by_address(email_keys, openings)
-- As `applying`, of applications by address.
SELECT a.id, a.email_key, i.opening_id, p.id AS live
FROM unnest(:email_keys::text[], :openings::bigint[]) AS i (email_key, opening_id)
CROSS JOIN LATERAL (
    SELECT id, email_key FROM applicants WHERE email_key = i.email_key OFFSET 0 FOR KEY SHARE
) a
LEFT JOIN LATERAL (
    SELECT id FROM placements
    WHERE opening_id = i.opening_id AND applicant_id = a.id AND status <> 'i' OFFSET 0
) p ON true

-- name: make(names, emails, email_keys)
-- Makes applicants of addresses that are free, and returns them. Applications by an address that was not found.
-- Sorted, so that two groups never wait for each other in a circle; an address that another one has just made is
-- left out, once that is committed.
INSERT INTO applicants (name, email, email_key)
SELECT * FROM unnest(:names::text[], :emails::text[], :email_keys::text[]) AS i (name, email, email_key)
ORDER BY email_key
ON CONFLICT (email_key) DO NOTHING
RETURNING id, email_key

-- name: unmake(ids)
-- Removes applicants who were made in this transaction, and whose application is refused.
DELETE FROM applicants WHERE id = ANY(:ids::bigint[])

-- name: lock(id)
-- Locks an applicant who is not erased. The applicant's erasure, after their openings.
SELECT id FROM applicants WHERE id = :id::bigint AND erased_at IS NULL FOR UPDATE

-- name: erase(id)
-- Removes what is known of a person. Their placements and events stay, which have no names.
UPDATE applicants SET name = NULL, email = NULL, email_key = NULL, erased_at = clock_timestamp()
WHERE id = :id::bigint

-- name: forget_payloads(id)
-- Removes what an applicant sent to be scored, and what results, reasons and archives quote of it; the scores
-- stay. The applicant's erasure.
WITH ids AS (
    SELECT scoring_id AS id FROM placements WHERE applicant_id = :id::bigint AND scoring_id IS NOT NULL
), payloads AS (
    UPDATE applications SET payload = '', candidate = NULL WHERE id IN (SELECT id FROM ids)
), results AS (
    UPDATE results SET detail = NULL, reason = CASE WHEN status = 'failed' THEN '(erased)' END
    WHERE application_id IN (SELECT id FROM ids)
), attempts AS (
    UPDATE attempts SET detail = NULL WHERE application_id IN (SELECT id FROM ids)
), audited AS (
    UPDATE audit_log SET detail = NULL WHERE application_id IN (SELECT id FROM ids)
), archived AS (
    DELETE FROM archived_applications WHERE id IN (SELECT id FROM ids)
)
UPDATE placement_scores SET reason = NULL, detail = NULL WHERE application_id IN (SELECT id FROM ids)
