"""Whether an attempt was made by a worker that held nothing else, and how many were left open.

Processes of the release before do not name the column: their attempts count as made in company,
and convict nothing. See docs/decisions/0022-scored-alone.md.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ABANDONMENTS = """
-- Attempts of an application that were neither finished nor ended (the one under way included),
-- since it was last requeued or last ended in an error: what its workers left open when they died.
-- And when the first of them began.
-- One row; a set, so that the planner makes it part of the query that asks.
CREATE FUNCTION abandonments(of_id uuid)
RETURNS TABLE (total integer, alone integer, since timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT count(*)::integer, (count(*) FILTER (WHERE n.alone))::integer, min(n.claimed_at)
    FROM attempts n
    WHERE n.application_id = of_id AND n.outcome IS NULL AND n.attempt > greatest(
        (SELECT max(q.attempt) FROM audit_log q
         WHERE q.application_id = of_id AND q.event = 'requeued'),
        (SELECT max(e.attempt) FROM attempts e
         WHERE e.application_id = of_id AND e.outcome = 'errored'),
        0)
$$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN alone boolean NOT NULL DEFAULT false")
    op.execute(ABANDONMENTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION abandonments(uuid)")
    op.execute("ALTER TABLE attempts DROP COLUMN alone")
