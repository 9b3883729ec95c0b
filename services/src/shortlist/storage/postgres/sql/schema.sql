-- What a database holds, before and after `shortlist migrate`. The schema itself is in `services/migrations`.

-- name: versions()
-- Lists the revisions that the schema is at: one. Every process that must know whether it can work.
SELECT version_num FROM alembic_version

-- name: lock_migrations(key)
-- Waits until no other process migrates, and keeps them waiting, for this transaction. `shortlist migrate`.
SELECT pg_advisory_xact_lock(:key)

-- name: found()
-- Reads what decides whether a database may become ours, or is. `shortlist migrate`. Relations of an
-- extension (PostGIS, pg_stat_statements) belong to no other project.
SELECT current_setting('server_encoding') AS encoding, current_database()::text AS database,
       current_user::text AS role, current_schema()::text AS schema,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       ARRAY(
           SELECT relname::text FROM pg_class c
           WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
             AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
             AND NOT EXISTS (
                 SELECT FROM pg_depend d
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
           ORDER BY relname) AS relations
