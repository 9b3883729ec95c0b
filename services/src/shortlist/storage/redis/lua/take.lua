-- Takes from the limits of a pipeline, unless that would mean to wait for too long; returns the seconds to
-- wait. Workers. `storage/redis/model_limits.py` explains the algorithm.
-- KEYS: when each limit's requests or tokens are paid for. ARGV: the longest wait; then for each key what is
-- taken of it and how far ahead it may be taken. All are seconds: as doubles they are good for 0.3 µs until
-- 2038, and 17 digits are written. TIME before a write is allowed from Redis 5 on, which replicates what a
-- script did, not the script.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local start, due = now, {}
for i, key in ipairs(KEYS) do
    local paid, written = string.match(redis.call('GET', key) or '', '(%S+) (%S+)')
    due[i] = tonumber(paid) or now
    if written and tonumber(written) > now then due[i] = now + due[i] - tonumber(written) end
    start = math.max(start, due[i] - tonumber(ARGV[2 * i + 1]))
end
if start - now <= tonumber(ARGV[1]) then
    for i, key in ipairs(KEYS) do
        local cost = tonumber(ARGV[2 * i])
        if cost > 0 then
            local paid = math.max(start, due[i]) + cost
            local text = string.format('%.17g %.17g', paid, now)
            redis.call('SET', key, text, 'PX', math.ceil((paid - now) * 1000))
        end
    end
end
return string.format('%.17g', start - now)
