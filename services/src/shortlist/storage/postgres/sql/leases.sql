-- Leadership, by a lease (`queries/leases.py`).
-- A lease runs while its end is ahead, and by no more than twice its length (`longest_seconds`): one that
-- ends later was written by a clock that has been set back since.
-- `name` says what is led; `holder` is the id of a replica of maintenance; `term` counts takeovers; `server` is the
-- time at which the server was started: which run of which server it is.

-- name: running(name, longest_seconds)
-- Tells whether a lease runs. A replica that would lead.
SELECT true FROM leases
WHERE name = :name AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => :longest_seconds)

-- name: lock_alone(name)
-- Locks former leaders out, for this transaction. A replica that takes over; it waits for the transactions of
-- the former leader.
SELECT pg_advisory_xact_lock(hashtext('shortlist.lease'), hashtext(:name))

-- name: take(name, holder, seconds)
-- Leads in a new term, if no other replica does. A replica that has locked former leaders out. `seconds`: how
-- long the lease runs. Returns the term and the server's run, or nothing while a lease runs.
INSERT INTO leases (name, holder, term, expires_at)
VALUES (:name, :holder, 1, clock_timestamp() + make_interval(secs => :seconds))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, expires_at = excluded.expires_at, term = leases.term + 1
WHERE leases.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => 2 * :seconds)
RETURNING term, pg_postmaster_start_time() AS server

-- name: end_former_leaders(name, longest_seconds)
-- Ends, while no lease runs, the sessions whose transactions keep it from being taken. A replica that could
-- not lock them out.
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND mode = 'ShareLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid = (hashtext('shortlist.lease')::bigint & 4294967295)::oid
  AND objid = (hashtext(:name)::bigint & 4294967295)::oid
  AND NOT EXISTS (
      SELECT FROM leases
      WHERE name = :name
        AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => :longest_seconds))

-- name: renew(name, holder, term, seconds, server)
-- Leads on for `seconds` from now. The leader. Nothing when another replica has taken over, or when this is
-- another server, or another run of it.
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE name = :name AND holder = :holder AND term = :term AND pg_postmaster_start_time() = :server
RETURNING term

-- name: lock_shared(name)
-- Shares the lock that a takeover needs alone, for this transaction. The leader, at the beginning of each of its
-- transactions.
SELECT pg_advisory_xact_lock_shared(hashtext('shortlist.lease'), hashtext(:name))

-- name: check(name, holder, term, longest_seconds, server)
-- Tells whether a replica leads now, in this term and on this run of the server. The leader, after
-- `lock_shared`.
SELECT true FROM leases
WHERE name = :name AND holder = :holder AND term = :term AND pg_postmaster_start_time() = :server
  AND expires_at BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => :longest_seconds)

-- name: give_up(name, holder, term)
-- Ends a lease, so that the next leader need not wait for it to run out, on any clock. A leader that stops.
UPDATE leases SET expires_at = '-infinity'
WHERE name = :name AND holder = :holder AND term = :term
