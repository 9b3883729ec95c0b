-- The server and the session themselves: clock, locks, whether it takes writes.

-- name: answers()
-- Nothing but an answer. The operator and `shortlist up`, behind a pooler, where there is nothing to count.
SELECT 1

-- name: clock()
-- Returns Postgres's time. Every process that must know it.
SELECT clock_timestamp() AS clock

-- name: run()
-- Tells which run of which server this is. `shortlist up` and the operator.
SELECT pg_postmaster_start_time()::text AS run

-- name: sight()
-- Tells which run of which server this is, and whether it takes no writes (`on`). Every process, each
-- second (`storage.watch`).
SELECT pg_postmaster_start_time()::text AS started, current_setting('transaction_read_only') AS read_only

-- name: read_only()
-- Tells whether the server takes no writes now (`on`). A process that is asked whether it is ready.
SELECT current_setting('transaction_read_only')

-- name: lock(key)
-- Takes the session's advisory lock, waiting for it. `shortlist migrate`, while it makes the owner's role.
SELECT pg_advisory_lock(:key)

-- name: try_lock(key)
-- Takes the session's advisory lock, if no other session has it. A perJob worker, for each claim and for its
-- own id; `key` is of the id (`advisory_key`).
SELECT pg_try_advisory_lock(:key)

-- name: unlock(key)
-- Gives the session's advisory lock back. A perJob worker, and `shortlist migrate`.
SELECT pg_advisory_unlock(:key)

-- name: lock_timeout(milliseconds)
-- Has this transaction wait no longer for any lock. `milliseconds`: as text. A replica that takes over, and
-- `shortlist migrate`.
SELECT set_config('lock_timeout', :milliseconds, true)
