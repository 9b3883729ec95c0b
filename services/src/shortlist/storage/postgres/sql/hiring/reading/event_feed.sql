-- What clients follow (`queries/hiring/reading/event_feed.py`): whether there is anything new.

-- name: heads(openings, applicants)
-- Tells the newest event of each opening, and of all placements of each applicant, and a number that changes with
-- each event: an opening's sequence; how many events an applicant has. Ingest, once a second for all that its clients
-- follow. Events are counted by `opening_events_of_placement`.
SELECT 'opening' AS of, o.id, coalesce(newest.sequence, 0) AS newest, coalesce(newest.sequence, 0) AS version
FROM unnest(:openings::bigint[]) AS o (id)
LEFT JOIN LATERAL (
    SELECT e.sequence FROM opening_events e WHERE e.opening_id = o.id ORDER BY e.sequence DESC LIMIT 1
) AS newest ON true
UNION ALL
SELECT 'applicant', a.id, coalesce(max(e.id), 0), count(e.id)
FROM unnest(:applicants::bigint[]) AS a (id)
LEFT JOIN placements p ON p.applicant_id = a.id
LEFT JOIN opening_events e ON e.placement_id = p.id
GROUP BY a.id
