-- A write has cleared, or has nothing to clear. ARGV: number.
redis.call('ZREM', P .. 'a', ARGV[1])
return redis.call('HDEL', P .. 'b', ARGV[1])
