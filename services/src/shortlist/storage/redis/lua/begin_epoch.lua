-- Writes a pipeline's epoch for this run of the server. Leader. KEYS: the epoch. ARGV: what it is to say.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '-'
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. run)
