-- Payloads that are scored for placements.

-- name: expect(applications, placements, openings)
-- Notes of which placements the scores of some applications will be. Applications with a payload, in the
-- transaction that accepts them for scoring.
INSERT INTO placement_scores (application_id, placement_id, opening_id)
SELECT * FROM unnest(:applications::uuid[], :placements::bigint[], :openings::bigint[])
