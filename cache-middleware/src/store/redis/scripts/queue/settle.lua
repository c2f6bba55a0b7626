-- The changes of the sealed batch are written. ARGV: queue, its end. Returns 1 if that is the sealed batch.
-- Whoever has written it may say so, claim or not.
relieve()
if redis.call('HGET', I, 'upto') ~= ARGV[2] then return 0 end
local rows = rows_after('-', ARGV[2] .. '-0', math.huge, math.huge)
redis.call('HLEN', U)
for _, row in ipairs(rows) do forget(row) end
redis.call('XTRIM', J, 'MINID', id(tonumber(ARGV[2]) + 1))
redis.call('HSET', I, 'done', ARGV[2])
redis.call('HDEL', I, 'upto')
return 1
