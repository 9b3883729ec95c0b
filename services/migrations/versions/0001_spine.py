"""Pipelines, applications, attempts, results, and what keeps them honest.

The tables of the path are only ever inserted into: a change of state is a new row (an attempt, a
result), never an update. So no old snapshot, held open anywhere for any time, leaves dead rows
in what the hot queries read. See docs/decisions/0002-insert-only.md.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UP = """
CREATE TABLE pipelines (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'),
    line_capacity integer NOT NULL DEFAULT 100000 CHECK (line_capacity > 0),
    -- Where the sweep of a new maintenance leader begins: what is older was finished. A short cut
    -- only; its patrol looks at everything.
    swept_to      uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    created_at    timestamptz NOT NULL DEFAULT now()
);
INSERT INTO pipelines (name) VALUES ('default');

-- No foreign key to pipelines: each insert would lock the same row of it. Ingest checks the name.
CREATE TABLE applications (
    id          uuid PRIMARY KEY,               -- UUIDv7: the index grows at its right end only
    pipeline    text NOT NULL,
    candidate   text,                           -- NULL: a job of the job-server contract
    payload     text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    traceparent text
);

CREATE TABLE idempotency_keys (
    key            text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 255),
    application_id uuid NOT NULL,
    body_hash      bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- A claim is a row here. `attempt` is the fence: only the highest one of an application may write.
CREATE TABLE attempts (
    application_id uuid NOT NULL,
    attempt        integer NOT NULL CHECK (attempt > 0),
    worker_id      uuid NOT NULL,
    claimed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome        text CHECK (outcome IN ('errored', 'throttled', 'released')),
    detail         text,
    PRIMARY KEY (application_id, attempt)
);

CREATE TABLE results (
    application_id uuid PRIMARY KEY,
    attempt        integer NOT NULL,
    pipeline       text NOT NULL,
    status         text NOT NULL CHECK (status IN ('scored', 'failed')),
    score          double precision CHECK (score BETWEEN 0 AND 100),
    reason         text,
    detail         jsonb,
    finished_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'scored') = (score IS NOT NULL)),
    CHECK ((status = 'failed') = (reason IS NOT NULL))
);
CREATE INDEX results_leaderboard ON results (pipeline, score DESC, application_id)
    WHERE status = 'scored';
CREATE INDEX results_failed ON results (pipeline, application_id) WHERE status = 'failed';

-- What was decided about an application, and by whom; written in the transaction that decides.
CREATE TABLE audit_log (
    application_id uuid NOT NULL,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    event          text NOT NULL CHECK (event IN ('scored', 'failed', 'requeued')),
    actor          text NOT NULL,
    attempt        integer,
    detail         jsonb
);
CREATE INDEX audit_log_of_application ON audit_log (application_id);

-- Attempts that ended without a score and are to be tried again, not before due_at.
CREATE TABLE retries (
    application_id uuid PRIMARY KEY,
    pipeline       text NOT NULL,
    due_at         timestamptz NOT NULL
);
CREATE INDEX retries_due ON retries (due_at);

-- Who may hold claims. perJob workers prove they live by an advisory lock (no lease),
-- perWrite workers by renewing theirs.
CREATE TABLE workers (
    id               uuid PRIMARY KEY,
    pipeline         text NOT NULL,
    lease_expires_at timestamptz,
    started_at       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Who leads maintenance. Every write of a leader checks its term in the same transaction.
CREATE TABLE leases (
    name       text PRIMARY KEY,
    holder     uuid NOT NULL,
    term       bigint NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE archived_applications (
    id          uuid PRIMARY KEY,
    archived_at timestamptz NOT NULL DEFAULT now(),
    record      jsonb NOT NULL
);

-- The advisory lock that stands for an id: its low 64 bits (as storage/postgres/connection.py).
CREATE FUNCTION lock_key(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || right(replace(id::text, '-', ''), 16))::bit(64)::bigint;

-- The advisory locks that are held in this database now, as `lock_key` makes them.
CREATE VIEW held_locks AS
SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
"""

TABLES = (
    "archived_applications, leases, workers, retries, audit_log, results, attempts, "
    "idempotency_keys, applications, pipelines"
)


def upgrade() -> None:
    for statement in UP.split(";\n"):  # the driver prepares, and prepares one at a time
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP VIEW held_locks")
    op.execute("DROP FUNCTION lock_key(uuid)")
    op.execute(f"DROP TABLE {TABLES}")
