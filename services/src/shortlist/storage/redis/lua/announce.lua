-- Publishes new statuses of applications. Workers and leader. One command in place of one for each change:
-- the client spends less time on it.
-- KEYS: the line, whose node does it. ARGV: the changes, as "channel status channel status …".
for channel, status in string.gmatch(ARGV[1], '([^ ]+) ([^ ]+)') do
    redis.call('PUBLISH', channel, status)
end
