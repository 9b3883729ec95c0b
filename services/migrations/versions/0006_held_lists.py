"""Which applications a perWrite worker holds; whether others are scored while one is not.

An attempt that a live worker let go of is not held by its lease.

Processes of the release before name none of the columns: their attempts and workers have no number,
and are held by the lease alone, as before. See docs/decisions/0038-what-a-live-worker-let-go-of.md.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCORED_NEAR = """
-- Whether another application of a pipeline was scored since a time, among the neighbours by id of
-- one and the newest: so it costs the same whatever the tables hold.
CREATE FUNCTION scored_near(of_id uuid, of_pipeline text, since timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
        SELECT FROM (
            (SELECT id, pipeline FROM applications WHERE id > of_id ORDER BY id LIMIT 500)
            UNION ALL
            (SELECT id, pipeline FROM applications WHERE id < of_id ORDER BY id DESC LIMIT 500)
            UNION ALL
            (SELECT id, pipeline FROM applications ORDER BY id DESC LIMIT 500)
        ) o
        WHERE o.pipeline = of_pipeline AND EXISTS (
            SELECT FROM results r
            WHERE r.application_id = o.id AND r.status = 'scored' AND r.finished_at > since
            OFFSET 0))
$$
"""

STATEMENTS = (
    # How many lists of what it holds a worker has made, and the last one.
    "ALTER TABLE workers ADD COLUMN lists integer, ADD COLUMN holds uuid[]",
    # A long one is kept beside its row, as it is (`storage.workers.renew`).
    "ALTER TABLE workers ALTER COLUMN holds SET STORAGE EXTERNAL",
    # How many lists its worker had made when it asked for the claim.
    "ALTER TABLE attempts ADD COLUMN lists integer",
    SCORED_NEAR,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION scored_near(uuid, text, timestamptz)")
    op.execute("ALTER TABLE attempts DROP COLUMN lists")
    op.execute("ALTER TABLE workers DROP COLUMN holds, DROP COLUMN lists")
