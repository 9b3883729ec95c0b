-- The line of an opening: how many stand in front of a key, and the fences that keep that cheap at any length
-- of the line. A position is the newest fences' count, the entries of one bucket, and the events since
-- (docs/decisions/0043). Keys are bytes that compare (`queries/hiring/codec.py`); no key is less than ''.

-- name: ahead(openings, keys)
-- Counts who waits in front of each key, in the order of the arrays. Any read, or an act before it commits.
-- Each read of the line begins at the newest event's first floor at the earliest: in front of it only
-- entries of those who left are found, which an old snapshot elsewhere keeps there.
SELECT coalesce(f.below, 0)
     + (SELECT count(*) FROM placements p
        WHERE p.opening_id = q.opening_id AND p.status = 'w'
          AND p.key >= greatest(f.low, coalesce(t.floor, '')) AND p.key < q.key)
     + (SELECT coalesce(sum((e.joins < f.low)::integer), 0) - coalesce(sum((e.leaves < f.low)::integer), 0)
        FROM opening_events e
        WHERE f.low > '' AND e.opening_id = q.opening_id AND e.sequence > f.sequence) AS ahead
FROM unnest(:openings::bigint[], :keys::bytea[]) WITH ORDINALITY AS q (opening_id, key, n)
LEFT JOIN LATERAL (
    SELECT floors[1] AS floor FROM opening_events
    WHERE opening_id = q.opening_id ORDER BY sequence DESC LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT b.sequence, b.keys[b.n] AS low, b.below[b.n] AS below
    FROM (
        SELECT sequence, keys, below, width_bucket(q.key, keys) AS n FROM line_fences
        WHERE opening_id = q.opening_id ORDER BY sequence DESC LIMIT 1
    ) b
    OFFSET 0  -- the two arrays are unpacked once, not for each event since
) f ON true
ORDER BY q.n

-- name: write_fences(opening_id, sequence)
-- Writes the next fences of an opening, as its line is after an event, unless the last ones are young: every
-- max(256, 0.64 × fences) events, so that their bytes for each event stay. An act, in the transaction of its
-- events and after them. From the fences before and the events since; of the line only those buckets are read
-- that have grown beyond 512, and those are cut into parts of 256. Fences that have come close are left out.
WITH f AS (
    SELECT * FROM (
        SELECT sequence, keys, below, waiting FROM line_fences
        WHERE opening_id = :opening_id ORDER BY sequence DESC LIMIT 1
    ) newest
    UNION ALL
    SELECT 0, ARRAY[''::bytea], ARRAY[0], 0
    WHERE NOT EXISTS (SELECT FROM line_fences WHERE opening_id = :opening_id)
), due AS (
    SELECT f.*, e.waiting AS waiting_now, coalesce(e.floors[1], '') AS floor
    FROM f CROSS JOIN opening_events e
    WHERE e.opening_id = :opening_id AND e.sequence = :sequence
      AND e.sequence - f.sequence >= 0.64 * cardinality(f.keys)
), changed AS (
    SELECT width_bucket(c.key, f.keys) AS n, sum(c.change) AS change
    FROM due f
    CROSS JOIN opening_events e
    CROSS JOIN LATERAL (VALUES (e.joins, 1), (e.leaves, -1)) AS c (key, change)
    WHERE e.opening_id = :opening_id AND e.sequence > f.sequence AND e.sequence <= :sequence AND c.key IS NOT NULL
    GROUP BY 1
), bucket AS (
    SELECT f.keys[i] AS low, f.keys[i + 1] AS high, f.floor,
           coalesce(f.below[i + 1], f.waiting) - f.below[i] + coalesce(c.change, 0) AS size
    FROM due f CROSS JOIN generate_subscripts(f.keys, 1) AS i LEFT JOIN changed c ON c.n = i
), cut AS (
    SELECT low, size FROM bucket WHERE size <= 512
    UNION ALL
    SELECT CASE WHEN part.part = 0 THEN bucket.low ELSE min(part.key) END, count(*)
    FROM bucket CROSS JOIN LATERAL (
        SELECT p.key, (row_number() OVER (ORDER BY p.key) - 1) / 256 AS part FROM placements p
        WHERE p.opening_id = :opening_id AND p.status = 'w'
          AND p.key >= greatest(bucket.low, bucket.floor) AND (bucket.high IS NULL OR p.key < bucket.high)
    ) AS part
    WHERE bucket.size > 512 GROUP BY bucket.low, part.part
), numbered AS (
    SELECT low, coalesce(sum(size) OVER (ORDER BY low ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::integer AS below
    FROM cut
), needed AS (
    SELECT low, below, below / 256 IS DISTINCT FROM lag(below) OVER (ORDER BY low) / 256 AS is_needed FROM numbered
)
INSERT INTO line_fences (opening_id, sequence, keys, below, waiting)
SELECT :opening_id, :sequence, n.keys, n.below, due.waiting_now
FROM due CROSS JOIN (
    SELECT array_agg(low ORDER BY low) AS keys, array_agg(below ORDER BY low) AS below FROM needed WHERE is_needed
) n
