-- Has a pipeline start no score for some time; never shortens a pause. Workers.
-- KEYS: the pause. ARGV: its milliseconds, and those of the longest pause there is.
-- PEXPIRE … GT would do, but it came with Redis 7. PTTL is negative when there is no pause, and longer
-- than any pause when the clock of Redis was set back: the end of a key is a time of day.
local left = redis.call('PTTL', KEYS[1])
if left < tonumber(ARGV[1]) or left > tonumber(ARGV[2]) then
    redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
