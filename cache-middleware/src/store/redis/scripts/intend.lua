-- Records what a write is about to clear, or that it is still about to. ARGV: number, ms until it is due, targets.
-- The targets first: a number without them would be carried out as nothing.
redis.call('HSET', P .. 'b', ARGV[1], ARGV[3])
redis.call('ZADD', P .. 'a', num(now_us() / 1000 + tonumber(ARGV[2])), ARGV[1])
return 1
