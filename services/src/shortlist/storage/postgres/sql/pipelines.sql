-- Pipelines, and how long each one's line may get.

-- name: capacities()
-- Lists all pipelines, and the most applications that each may have accepted and unfinished. Ingest.
SELECT name, line_capacity FROM pipelines

-- name: ensure(name)
-- Makes a pipeline known, with the default capacity, if it is not. A worker that starts.
INSERT INTO pipelines (name) VALUES (:name) ON CONFLICT DO NOTHING

-- name: configure(name, line_capacity)
-- Makes a pipeline known with a capacity. The operator and `shortlist up`. Writes nothing when it is.
INSERT INTO pipelines (name, line_capacity) VALUES (:name, :line_capacity)
ON CONFLICT (name) DO UPDATE SET line_capacity = excluded.line_capacity
WHERE pipelines.line_capacity <> excluded.line_capacity
