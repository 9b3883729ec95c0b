-- How many connections Postgres has to give, and how many each worker holds.

-- name: limits()
-- Reads Postgres's own settings. The operator and `shortlist up`. `reserved_connections` is there from
-- Postgres 16 on.
SELECT current_setting('max_connections')::int AS most,
       current_setting('superuser_reserved_connections')::int AS superuser,
       coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved

-- name: open_by_worker(prefix)
-- Counts the connections of each worker. The operator and `shortlist up`. `prefix`: what a worker's
-- connections are called, before its id.
SELECT substr(application_name, length(:prefix) + 1) AS worker_id, count(*) AS open
FROM pg_stat_activity WHERE starts_with(application_name, :prefix)
GROUP BY 1
