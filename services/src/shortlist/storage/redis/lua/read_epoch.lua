-- Returns what a pipeline's epoch says, and the run of this server: "-" when we may not ask. Leader.
-- KEYS: the epoch.
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '-'
return {redis.call('GET', KEYS[1]) or '', run}
