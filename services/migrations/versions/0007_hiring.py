"""Hiring: openings, applicants, placements, and an audit that is only ever appended to.

Only adds: processes of the release before go on. See docs/decisions/0042, 0043 and 0044.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OPENINGS = """
-- One row for each opening: its lock, its rules, its state. It is written only when a company
-- changes these, or time does; never by an application (0042).
CREATE TABLE openings (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title              text NOT NULL,
    description        text,
    pipeline           text,          -- where payloads are scored; NULL: the default
    verify_email       boolean NOT NULL,
    capacity           integer NOT NULL CHECK (capacity > 0),
    ack_window_seconds integer NOT NULL CHECK (ack_window_seconds > 0),
    line_order         text NOT NULL CHECK (line_order IN ('fifo', 'score')),
    confirm            text NOT NULL CHECK (confirm IN ('promoted', 'everyone')),
    fill_from          timestamptz,
    closes_at          timestamptz,
    max_misses         integer CHECK (max_misses > 0),
    answer_hours       jsonb,
    state              text NOT NULL CHECK (state IN ('open', 'closed', 'ended')),
    version            integer NOT NULL,
    -- When time next changes the opening itself, or a change that was committed in part goes on.
    due_at             timestamptz,
    created_at         timestamptz NOT NULL
);
CREATE INDEX openings_due ON openings (due_at) WHERE due_at IS NOT NULL;

-- email_key: the address as it is compared. All three texts are NULL once the applicant is erased.
CREATE TABLE applicants (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text,
    email      text,
    email_key  text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    erased_at  timestamptz
);
"""

NOTE_SCORES = """
-- A worker's results, whatever release it is of, are noted for those applications that belong to a
-- placement. It takes no lock on an opening.
CREATE FUNCTION note_scores() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE placement_scores p
    SET is_due = true, status = n.status, score = n.score, reason = n.reason, detail = n.detail,
        finished_at = n.finished_at
    FROM inserted n WHERE p.application_id = n.application_id;
    RETURN NULL;
END
$$
"""

PLACEMENTS = """
CREATE SEQUENCE placement_ids AS bigint;

-- One applicant's standing in one opening. status: a ACTIVE, w WAITLIST, p PENDING_ACKNOWLEDGMENT,
-- i INACTIVE. key: where it stands in line, or last stood, as bytes that compare as `LineKey` does
-- (`queries.hiring.codec`). stands_from: the event since which status and key are these.
CREATE TABLE placements (
    id               bigint PRIMARY KEY,
    opening_id       bigint NOT NULL,
    applicant_id     bigint NOT NULL,
    status           "char" NOT NULL CHECK (status IN ('a', 'w', 'p', 'i')),
    key              bytea NOT NULL,
    applied_sequence bigint NOT NULL,
    applied_at       timestamptz NOT NULL,
    since            timestamptz NOT NULL,
    last_event       "char" NOT NULL,
    last_sequence    bigint NOT NULL,
    stands_from      bigint NOT NULL,
    misses           integer NOT NULL,
    score            double precision,
    moved            boolean NOT NULL,
    promoted_at      timestamptz,
    deadline         timestamptz CHECK ((deadline IS NOT NULL) = (status = 'p')),
    scoring_id       uuid
);
CREATE UNIQUE INDEX placements_live ON placements (opening_id, applicant_id) WHERE status <> 'i';
CREATE INDEX placements_line ON placements (opening_id, key) WHERE status = 'w';
-- Whom the company has moved, for the reasons that an applicant is told.
CREATE INDEX placements_moved ON placements (opening_id, key) WHERE status = 'w' AND moved;
-- Who is not in any other index of an opening; for lists.
CREATE INDEX placements_gone ON placements (opening_id, applied_sequence) WHERE status = 'i';
CREATE INDEX placements_offers ON placements (opening_id, deadline, id) WHERE status = 'p';
CREATE INDEX placements_deadlines ON placements (deadline) WHERE status = 'p';
CREATE INDEX placements_holders ON placements
    (opening_id, coalesce(promoted_at, since), applied_sequence) WHERE status IN ('a', 'p');
CREATE INDEX placements_of_applicant ON placements (applicant_id, id);

-- The score of a placement's payload, and its reasons: kept as long as the placement. The row is
-- made with the application; the trigger below writes it with the result; the leader's agent then
-- has the line ordered anew, and takes is_due back.
CREATE TABLE placement_scores (
    application_id uuid PRIMARY KEY,
    placement_id   bigint NOT NULL,
    opening_id     bigint NOT NULL,
    is_due         boolean NOT NULL DEFAULT false,
    status         text CHECK (status IN ('scored', 'failed')),
    score          double precision,
    reason         text,
    detail         jsonb,
    finished_at    timestamptz
);
CREATE INDEX placement_scores_due ON placement_scores (finished_at) WHERE is_due;
CREATE INDEX placement_scores_of_placement ON placement_scores (placement_id);
CREATE TRIGGER note_scores AFTER INSERT ON results
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION note_scores();
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit of hiring is only ever appended to'
        USING ERRCODE = 'restrict_violation';
END
$$
"""

EVENTS = """
-- The audit. id is unique over all openings and rises within one; sequence has no gaps within one.
-- leaves, joins: the keys in line that the event takes away and adds; floors: see 0043.
CREATE TABLE opening_events (
    opening_id   bigint NOT NULL,
    sequence     bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL,
    type         "char" NOT NULL,
    actor_kind   "char" NOT NULL,
    actor        text,
    placement_id bigint,
    from_status  "char",
    to_status    "char",
    metadata     jsonb NOT NULL,
    held         integer NOT NULL CHECK (held >= 0),
    waiting      integer NOT NULL CHECK (waiting >= 0),
    digest       bytea NOT NULL,
    floors       bytea[],
    leaves       bytea,
    joins        bytea,
    PRIMARY KEY (opening_id, sequence)
);
CREATE INDEX opening_events_of_placement ON opening_events (placement_id, sequence)
    WHERE placement_id IS NOT NULL;
-- What the rules were: O, R, C, P, E are the opening's own events.
CREATE INDEX opening_events_of_rules ON opening_events (opening_id, sequence)
    WHERE placement_id IS NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON opening_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The line as it was at an event, cut into buckets (0043). Derived, insert-only.
CREATE TABLE line_fences (
    opening_id bigint NOT NULL,
    sequence   bigint NOT NULL,
    keys       bytea[] NOT NULL,
    below      integer[] NOT NULL,
    waiting    integer NOT NULL,
    PRIMARY KEY (opening_id, sequence)
);

-- Where placements stood: inserted when a standing ends (0044). From from_sequence on, and no more
-- at to_sequence. since: of a holder, when it got its place, which orders holders. Insert-only.
CREATE TABLE placement_spans (
    opening_id    bigint NOT NULL,
    placement_id  bigint NOT NULL,
    status        "char" NOT NULL,
    key           bytea NOT NULL,
    since         timestamptz NOT NULL,
    from_sequence bigint NOT NULL,
    to_sequence   bigint NOT NULL
);
CREATE INDEX placement_spans_line ON placement_spans (opening_id, key) WHERE status = 'w';
CREATE INDEX placement_spans_holders ON placement_spans (opening_id, since)
    WHERE status IN ('a', 'p');

-- Every 1 000 events the first in line, the first of those who hold places, each with what orders
-- them, and running sums (0044). Derived: the leader writes it.
CREATE TABLE opening_heads (
    opening_id bigint NOT NULL,
    sequence   bigint NOT NULL,
    digest     bytea NOT NULL,
    line       bigint[] NOT NULL,
    line_keys  bytea[] NOT NULL,
    holders    bigint[] NOT NULL,
    holds      text NOT NULL,
    since      timestamptz[] NOT NULL,
    applied    bigint[] NOT NULL,
    sums       jsonb NOT NULL,
    PRIMARY KEY (opening_id, sequence)
);

-- What a company did by hand, with its reason, which is a free text and so not in the audit.
CREATE TABLE hiring_actions (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    opening_id     bigint NOT NULL,
    at             timestamptz NOT NULL,
    action         text NOT NULL,
    actor_kind     text NOT NULL,
    actor          text,
    reason         text,
    notify         boolean NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence  bigint NOT NULL
);
"""

ACCESS = """
-- Keys for machines; only their digests are kept.
CREATE TABLE api_keys (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    digest       bytea NOT NULL UNIQUE,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- What a call with an Idempotency-Key was answered, written in the transaction of what it did.
CREATE TABLE hiring_answers (
    key        text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    route      text NOT NULL,
    body_hash  bytea NOT NULL,
    answer     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key, route)
);
CREATE INDEX hiring_answers_by_age ON hiring_answers (created_at);
"""

TABLES = (
    "hiring_answers",
    "api_keys",
    "hiring_actions",
    "opening_heads",
    "placement_spans",
    "line_fences",
    "opening_events",
    "placement_scores",
    "placements",
    "applicants",
    "openings",
)


def upgrade() -> None:
    op.execute(NOTE_SCORES)
    op.execute(REFUSE_CHANGE)
    tables = OPENINGS + PLACEMENTS + EVENTS + ACCESS
    for statement in tables.split(";\n"):  # the driver prepares, and prepares one at a time
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER note_scores ON results")
    op.execute("DROP FUNCTION note_scores()")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("DROP SEQUENCE placement_ids")
