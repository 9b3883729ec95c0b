-- Adds newly accepted applications to a line, and returns how many wait and how many are delivered.
-- Ingest. One command with one argument in place of a command for each entry: the client spends a
-- fraction of the time on it, and that time is ingest's.
-- KEYS: the streams `line` and `again`, the counter of submissions. ARGV: the consumer group, the
-- fields of an entry for its id and its trace, and the entries, as "id,trace id,trace …".
local group, id_field, trace_field, count = ARGV[1], ARGV[2], ARGV[3], 0
for id, trace in string.gmatch(ARGV[4], '([^ ,]+),([^ ]*)') do
    if trace == '' then
        redis.call('XADD', KEYS[1], '*', id_field, id)
    else
        redis.call('XADD', KEYS[1], '*', id_field, id, trace_field, trace)
    end
    count = count + 1
end
redis.call('INCRBY', KEYS[3], count)
local length, delivered = 0, 0
for i = 1, 2 do
    length = length + redis.call('XLEN', KEYS[i])
    local pending = redis.pcall('XPENDING', KEYS[i], group)
    if not pending.err then delivered = delivered + pending[1] end
end
return {math.max(0, length - delivered), delivered}
