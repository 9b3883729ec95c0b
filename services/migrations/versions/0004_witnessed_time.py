"""The time that maintenance has witnessed: a clock that jumps ahead deletes nothing early."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WITNESSED_TIME = """
-- Never ahead of what passed while a leader watched, but for a day for each leader.
CREATE TABLE witnessed_time (
    name text PRIMARY KEY,
    at   timestamptz NOT NULL
)
"""


def upgrade() -> None:
    op.execute(WITNESSED_TIME)


def downgrade() -> None:
    op.execute("DROP TABLE witnessed_time")
