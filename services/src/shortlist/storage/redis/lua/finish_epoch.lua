-- Writes a pipeline's epoch, if it says what was written before, on the same run of the server; returns whether
-- it did. Leader. KEYS: the epoch. ARGV: what it said, and what it is to say.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '-'
if redis.call('GET', KEYS[1]) == ARGV[1] .. ' ' .. run then
    redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. run)
    return 1
end
return 0
