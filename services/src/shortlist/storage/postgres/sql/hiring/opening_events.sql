-- The audit of openings, as acts read its end and append to it.

-- name: tails(openings, due_ats, all_end, new)
-- Reads the newest event of some openings, Postgres's clock, whether an offer has ended, and so many new ids
-- for placements of each. Every act, after it has locked them: in a statement of its own, since the clock of
-- one that waited for a lock stood still. `all_end`: the opening has ended, and with it every offer. A due time
-- that has come says that the last transaction left something to settle: then any offer may be older. `since`
-- and `before` bound the deadlines of the offers that have ended; null: no bound.
SELECT i.id, i.clock, e.sequence, e.at, e.held, e.waiting, e.digest, e.floors, s.since, b.before,
       EXISTS (
           SELECT FROM placements
           WHERE opening_id = i.id AND status = 'p'
             AND deadline >= coalesce(s.since, '-infinity') AND deadline < coalesce(b.before, 'infinity')
       ) AS has_ended_offers,
       ARRAY(SELECT nextval('placement_ids') FROM generate_series(1, i.new)) AS placement_ids
FROM (
    SELECT *, clock_timestamp() AS clock
    FROM unnest(:openings::bigint[], :due_ats::timestamptz[], :all_end::boolean[], :new::integer[])
        AS o (id, due_at, all_end, new)
) i
CROSS JOIN LATERAL (
    SELECT * FROM opening_events WHERE opening_id = i.id ORDER BY sequence DESC LIMIT 1
) e
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.all_end OR i.due_at <= e.at THEN NULL ELSE e.at END AS since
) s
CROSS JOIN LATERAL (
    SELECT CASE WHEN NOT i.all_end THEN greatest(date_trunc('milliseconds', i.clock), e.at) END AS before
) b

-- name: append(opening_ids, sequences, ats, types, actor_kinds, actors, placement_ids, from_statuses, to_statuses, metadata, held, waiting, digests, floors, leaves, joins)
-- Appends events, all of a transaction at once. Every act. The primary key refuses a sequence that is there.
INSERT INTO opening_events (opening_id, sequence, at, type, actor_kind, actor, placement_id, from_status, to_status,
                            metadata, held, waiting, digest, floors, leaves, joins)
SELECT opening_id, sequence, at, type, actor_kind, actor, placement_id, from_status, to_status,
       metadata::jsonb, held, waiting, digest, floors::bytea[], leaves, joins
FROM unnest(
    :opening_ids::bigint[], :sequences::bigint[], :ats::timestamptz[], :types::"char"[], :actor_kinds::"char"[],
    :actors::text[], :placement_ids::bigint[], :from_statuses::"char"[], :to_statuses::"char"[], :metadata::text[],
    :held::integer[], :waiting::integer[], :digests::bytea[], :floors::text[], :leaves::bytea[], :joins::bytea[]
) AS e (opening_id, sequence, at, type, actor_kind, actor, placement_id, from_status, to_status,
        metadata, held, waiting, digest, floors, leaves, joins)

-- name: is_there(opening_id, sequence, digest)
-- Tells whether a certain event was committed. An act whose connection broke while it committed, under the
-- opening's lock: who else wrote that sequence wrote another digest.
SELECT EXISTS (
    SELECT FROM opening_events
    WHERE opening_id = :opening_id::bigint AND sequence = :sequence::bigint AND digest = :digest::bytea
)

-- name: between(opening_id, first, last)
-- Reads the events of an opening from one sequence to another. The undoing of a company's act.
SELECT opening_id, sequence, at, type, actor_kind, actor, placement_id, from_status, to_status, metadata, held,
       waiting, digest
FROM opening_events
WHERE opening_id = :opening_id::bigint AND sequence BETWEEN :first::bigint AND :last::bigint
ORDER BY sequence
