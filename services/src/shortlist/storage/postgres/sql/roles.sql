-- The database's roles (`roles.py`). What is called a statement here is returned as text, to be run next:
-- the names of roles and relations in it cannot be parameters; format() quotes them.

-- name: current()
-- Returns the name of the role that asks. `shortlist migrate`.
SELECT current_user::text

-- name: count_existing(names)
-- Counts the roles that are there. `shortlist up`.
SELECT count(*) FROM pg_roles WHERE rolname = ANY(:names::text[])

-- name: make(name, verifier, owns)
-- Tells whether a role is there, and the statement that makes it, or changes it when it is. `shortlist
-- migrate`. `verifier`: of its password (RFC 5803); null: it gets none. `owns`: it is to own the database, and
-- to make the other roles.
SELECT there.already,
       format('%s ROLE %I LOGIN', CASE WHEN there.already THEN 'ALTER' ELSE 'CREATE' END, :name::text)
           || CASE WHEN :owns
                   THEN ' NOSUPERUSER NOBYPASSRLS NOREPLICATION NOCREATEDB CREATEROLE' ELSE '' END
           || coalesce(' PASSWORD ' || quote_literal(:verifier::text), '') AS statement
FROM (SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name) AS already) there

-- name: grants(name, may_write)
-- The statements that let a role use our tables, reading or writing too. `shortlist migrate`, after each
-- migration. None may write into the table that says which schema there is.
SELECT format('GRANT USAGE ON SCHEMA public TO %I', :name::text)
UNION ALL
(SELECT CASE
        WHEN relkind = 'S' THEN format('GRANT USAGE, SELECT ON SEQUENCE public.%I TO %I', relname, :name)
        WHEN :may_write AND relname <> 'alembic_version'
            THEN format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO %I', relname, :name)
        ELSE format('GRANT SELECT ON public.%I TO %I', relname, :name)
    END
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
  AND pg_has_role(current_user, relowner, 'MEMBER')
ORDER BY relname)

-- name: handed_over(owner, others)
-- The statements that give the owner what the admin has here, and the roles that it must change (`others`).
-- `shortlist migrate`, as the admin. What belongs to a column goes with its table; what belongs to an
-- extension stays. From Postgres 15 on the schema is the database's owner's anyway.
WITH admin AS (SELECT oid FROM pg_roles WHERE rolname = current_user),
things AS (
    SELECT 'DATABASE' AS kind, quote_ident(datname) AS name FROM pg_database, admin
    WHERE datname = current_database() AND datdba = admin.oid
    UNION ALL
    SELECT 'SCHEMA', 'public' FROM pg_namespace, admin
    WHERE nspname = 'public' AND nspowner = admin.oid
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           c.oid::regclass::text
    FROM pg_class c, admin
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
      AND relowner = admin.oid AND NOT EXISTS (
          SELECT FROM pg_depend d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.deptype IN ('a', 'i', 'e'))
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text FROM pg_proc p, admin
    WHERE pronamespace = 'public'::regnamespace AND proowner = admin.oid AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
)
SELECT format('ALTER %s %s OWNER TO %I', kind, name, :owner::text) FROM things
UNION ALL
SELECT format('GRANT %I TO %I WITH ADMIN OPTION', rolname, :owner::text) FROM pg_roles
WHERE rolname = ANY(:others::text[]) AND rolname <> :owner
  AND NOT pg_has_role(:owner::name, oid, 'MEMBER WITH ADMIN OPTION')
