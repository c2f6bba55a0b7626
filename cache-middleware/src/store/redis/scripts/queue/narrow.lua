-- The sealed batch ends earlier. ARGV: queue, token, its end, its new end. Returns 1 if it is this flusher's.
relieve()
if redis.call('GET', V) ~= ARGV[2] or redis.call('HGET', I, 'upto') ~= ARGV[3] then return 0 end
redis.call('HSET', I, 'upto', ARGV[4])
return 1
