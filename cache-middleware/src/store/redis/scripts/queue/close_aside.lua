-- The sealed batch was one change, and that is set aside: the batch ends. ARGV: queue, token, number. Returns 1 if it is this
-- flusher's.
relieve()
if redis.call('GET', V) ~= ARGV[2] or redis.call('HGET', I, 'upto') ~= ARGV[3] then return 0 end
if #redis.call('XRANGE', A, ARGV[3] .. '-0', ARGV[3] .. '-0') == 0 then return 0 end
redis.call('XTRIM', J, 'MINID', id(tonumber(ARGV[3]) + 1))
redis.call('HSET', I, 'done', ARGV[3])
redis.call('HDEL', I, 'upto')
return 1
