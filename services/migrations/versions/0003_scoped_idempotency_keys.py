"""Idempotency keys belong to a route and a pipeline.

The table of the release before, in which a key is one for all, stays and goes on being written: its
processes work beside ours during a rollout. See docs/decisions/0026-http-as-clients-speak-it.md.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE scoped_idempotency_keys (
    route          text NOT NULL,                 -- '/applications', '/job'
    pipeline       text NOT NULL,
    key            text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    application_id uuid NOT NULL,
    body_hash      bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (route, pipeline, key)
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(
        "CREATE INDEX scoped_idempotency_keys_by_age ON scoped_idempotency_keys (created_at)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE scoped_idempotency_keys")
