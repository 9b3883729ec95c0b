-- Workers as Postgres knows them.
-- A lease runs while its end is ahead, and by no more than twice its length: one that ends later was
-- written by a clock that has been set back since. Workers' leases are of 3 s (`queries/workers.py`).
-- A perJob worker has no lease; it holds the session lock of its id.

-- name: enrol(id, pipeline, lease_seconds)
-- Makes a worker known, or known again. The worker itself. `lease_seconds`: null in mode perJob.
INSERT INTO workers (id, pipeline, lease_expires_at)
VALUES (:id, :pipeline, clock_timestamp() + make_interval(secs => :lease_seconds))
ON CONFLICT (id) DO UPDATE SET lease_expires_at = excluded.lease_expires_at

-- name: renew(id, lease_seconds, lists, holds)
-- Extends the lease of a perWrite worker for what it holds. The worker itself, each second. `lists`: how
-- many lists it has made; `holds`: the applications of this one. Nothing when it was forgotten.
UPDATE workers SET lease_expires_at = clock_timestamp() + make_interval(secs => :lease_seconds),
    lists = :lists, holds = :holds::uuid[]
WHERE id = :id RETURNING true

-- name: leave(id)
-- Removes a worker that holds nothing any more. The worker itself, as it ends.
DELETE FROM workers WHERE id = :id

-- name: registered(pipeline)
-- Lists the workers of a pipeline that enrolled and neither left nor were forgotten. The leader.
SELECT id FROM workers WHERE pipeline = :pipeline

-- name: dead()
-- Lists the workers that neither hold their lock nor have a lease that runs. The leader.
SELECT id, pipeline FROM workers
WHERE (lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s') IS NOT true
  AND lock_key(id) NOT IN (SELECT key FROM held_locks)

-- name: forget(ids)
-- Removes those of some workers that are dead, still. The leader. The conditions are those of `dead`,
-- on the row itself, so that they are looked at again when it was just renewed.
DELETE FROM workers
WHERE id = ANY(:ids::uuid[])
  AND (lease_expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '6 s') IS NOT true
  AND lock_key(id) NOT IN (SELECT key FROM held_locks)
