-- Openings: the one row of each that an act locks. It is written when a company changes the opening, or time
-- does; never by an application (docs/decisions/0042).

-- name: lock(ids, placement_ids)
-- Locks some openings, and those of some placements, ascending; reads them. Every act, first of all: so two
-- transactions never wait for each other in a circle. Those that are not there are left out.
SELECT id, title, description, pipeline, verify_email, capacity, ack_window_seconds, line_order, confirm,
       fill_from, closes_at, max_misses, answer_hours, state, version, due_at, created_at
FROM openings
WHERE id = ANY(:ids::bigint[] || ARRAY(SELECT opening_id FROM placements WHERE id = ANY(:placement_ids::bigint[])))
ORDER BY id
FOR NO KEY UPDATE

-- name: lock_free(ids, placement_ids)
-- As `lock`, but leaves out what another transaction holds just now. Every act, before it waits.
SELECT id, title, description, pipeline, verify_email, capacity, ack_window_seconds, line_order, confirm,
       fill_from, closes_at, max_misses, answer_hours, state, version, due_at, created_at
FROM openings
WHERE id = ANY(:ids::bigint[] || ARRAY(SELECT opening_id FROM placements WHERE id = ANY(:placement_ids::bigint[])))
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED

-- name: new_id()
-- Returns the id of an opening that is about to be made. `Acts.open`, before its transaction: when that has to
-- be tried again, it finds whether the first try was committed after all.
SELECT nextval(pg_get_serial_sequence('openings', 'id'))

-- name: insert(id, title, description, pipeline, verify_email, capacity, ack_window_seconds, line_order, confirm, fill_from, closes_at, max_misses, answer_hours, due_at)
-- Makes an opening, and returns when; nothing when it is there already. `Acts.open`.
INSERT INTO openings (id, title, description, pipeline, verify_email, capacity, ack_window_seconds, line_order,
                      confirm, fill_from, closes_at, max_misses, answer_hours, state, version, due_at, created_at)
OVERRIDING SYSTEM VALUE
VALUES (:id::bigint, :title::text, :description::text, :pipeline::text, :verify_email::boolean, :capacity::integer,
        :ack_window_seconds::integer, :line_order::text, :confirm::text, :fill_from::timestamptz,
        :closes_at::timestamptz, :max_misses::integer, :answer_hours::jsonb, 'open', 1, :due_at::timestamptz,
        date_trunc('milliseconds', clock_timestamp()))
ON CONFLICT (id) DO NOTHING
RETURNING created_at

-- name: update(id, title, description, pipeline, verify_email, capacity, ack_window_seconds, line_order, confirm, fill_from, closes_at, max_misses, answer_hours, state, version, due_at)
-- Writes a locked opening whose rules, texts or state changed, or for which time has something else to do.
-- The act or settling that has locked it.
UPDATE openings
SET title = :title::text, description = :description::text, pipeline = :pipeline::text,
    verify_email = :verify_email::boolean, capacity = :capacity::integer,
    ack_window_seconds = :ack_window_seconds::integer, line_order = :line_order::text, confirm = :confirm::text,
    fill_from = :fill_from::timestamptz, closes_at = :closes_at::timestamptz, max_misses = :max_misses::integer,
    answer_hours = :answer_hours::jsonb, state = :state::text, version = :version::integer,
    due_at = :due_at::timestamptz
WHERE id = :id::bigint
