-- Chooses the worker that asks a model again which refuses everything; returns OK to the one that may. Workers.
-- KEYS: the probe. ARGV: the worker's id, for how many milliseconds no other may, and the longest such time
-- there is: one that is longer was set before the clock of Redis was set back.
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then redis.call('DEL', KEYS[1]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
