-- What companies did by hand, with their reasons.

-- name: new_id()
-- Returns the id of an act that is about to be decided: its events carry it. A company's act.
SELECT nextval(pg_get_serial_sequence('hiring_actions', 'id'))

-- name: insert(id, opening_id, at, action, actor_kind, actor, reason, notify, first_sequence, last_sequence)
-- Notes an act and between which of the opening's events its own are. A company's act, in its transaction.
INSERT INTO hiring_actions (id, opening_id, at, action, actor_kind, actor, reason, notify, first_sequence, last_sequence)
OVERRIDING SYSTEM VALUE
VALUES (:id::bigint, :opening_id::bigint, :at::timestamptz, :action::text, :actor_kind::text, :actor::text,
        :reason::text, :notify::boolean, :first_sequence::bigint, :last_sequence::bigint)

-- name: of_id(id)
-- Reads an act. Its undoing.
SELECT id, opening_id, at, first_sequence, last_sequence FROM hiring_actions WHERE id = :id::bigint
