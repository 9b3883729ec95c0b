-- What calls with an idempotency key were answered: kept in the transaction of what they did.

-- name: take(keys, routes, body_hashes)
-- Takes idempotency keys that are free, and returns them. An act, after it has locked its openings. Another
-- transaction that has just taken one is waited for; sorted, so that no two wait for each other in a circle.
INSERT INTO hiring_answers (key, route, body_hash, answer)
SELECT key, route, body_hash, '' FROM unnest(:keys::text[], :routes::text[], :body_hashes::bytea[])
    AS i (key, route, body_hash)
ORDER BY key, route
ON CONFLICT DO NOTHING
RETURNING key, route

-- name: given(keys, routes)
-- Reads what calls with these keys were answered. An act, of keys that were not free.
SELECT a.key, a.route, a.body_hash, a.answer
FROM unnest(:keys::text[], :routes::text[]) AS i (key, route)
JOIN hiring_answers a ON a.key = i.key AND a.route = i.route

-- name: keep(keys, routes, answers)
-- Keeps the answers of calls whose keys this transaction has taken.
UPDATE hiring_answers a SET answer = i.answer
FROM unnest(:keys::text[], :routes::text[], :answers::text[]) AS i (key, route, answer)
WHERE a.key = i.key AND a.route = i.route

-- name: give_back(keys, routes)
-- Gives keys back that this transaction has taken: their acts were refused, or are not done yet.
DELETE FROM hiring_answers a USING unnest(:keys::text[], :routes::text[]) AS i (key, route)
WHERE a.key = i.key AND a.route = i.route
