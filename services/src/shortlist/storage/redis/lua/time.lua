-- Returns the time by Redis's clock, in seconds and microseconds. Leader and operator. In a cluster a script
-- runs on the node that has its key, here the line (KEYS); TIME alone runs on any.
return redis.call('TIME')
