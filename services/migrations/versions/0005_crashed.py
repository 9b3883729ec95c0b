"""A way for an attempt to end: its payload ended the process that scored it, and nothing else.

What was allowed before still is. The rows need no check: each satisfies the narrower one.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CONSTRAINT = """
ALTER TABLE attempts DROP CONSTRAINT attempts_outcome_check,
ADD CONSTRAINT attempts_outcome_check
CHECK (outcome IN ({outcomes})) NOT VALID
"""


def upgrade() -> None:
    op.execute(CONSTRAINT.format(outcomes="'errored', 'throttled', 'released', 'crashed'"))


def downgrade() -> None:
    op.execute("UPDATE attempts SET outcome = 'errored' WHERE outcome = 'crashed'")
    op.execute(CONSTRAINT.format(outcomes="'errored', 'throttled', 'released'"))
