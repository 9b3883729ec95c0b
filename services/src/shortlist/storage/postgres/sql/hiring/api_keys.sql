-- Keys for machines. `digest`: SHA-256 of the key, which is kept nowhere. A key is valid until it is revoked
-- or expires, by Postgres's clock.

-- name: create(name, digest, scopes, days)
-- Keeps a new key; returns its id and when it expires. `shortlist keys create`. `days`: until then, null: never.
INSERT INTO api_keys (name, digest, scopes, expires_at)
VALUES (:name, :digest, :scopes::text[], clock_timestamp() + make_interval(secs => :days::float8 * 86400))
RETURNING id, expires_at

-- name: valid(digests)
-- Finds the valid ones among some keys. Ingest, when a client sends one that it has not looked at for a moment.
SELECT digest, id, scopes FROM api_keys
WHERE digest = ANY(:digests::bytea[]) AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp())

-- name: used(ids)
-- Notes that keys were used, once a minute at most: several ingests may say so. Ingest.
UPDATE api_keys SET last_used_at = clock_timestamp()
WHERE id = ANY(:ids::bigint[])
  AND (last_used_at IS NULL OR last_used_at NOT BETWEEN clock_timestamp() - interval '1 min' AND clock_timestamp())

-- name: listed()
-- Lists all keys, oldest first. `shortlist keys list`.
SELECT id, name, scopes, created_at, expires_at, last_used_at, revoked_at,
       revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) AS is_valid
FROM api_keys ORDER BY id

-- name: revoke(id)
-- Revokes a key; returns its name, nothing when there is none with that id. `shortlist keys revoke`. One that is
-- revoked already stays so since then.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = :id RETURNING name
