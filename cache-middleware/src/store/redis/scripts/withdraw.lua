-- A write has cleared, or has nothing to clear, or somebody has cleared for its writer. ARGV: number, '1' if somebody has, ms
-- for which whoever carries it out has it.
local due = tonumber(redis.call('ZSCORE', P .. 'a', ARGV[1]) or 0)
if ARGV[2] == '1' then
  local now = now_us() / 1000
  -- Its writer was heard of meanwhile, and is about to clear still.
  if due > now + tonumber(ARGV[3]) then return 0 end
  -- It may only have been slow, and write yet: it is cleared again, later and later, for some minutes.
  local times = redis.call('HINCRBY', P .. 'b', ARGV[1] .. ':n', 1)
  if times < 6 then
    redis.call('ZADD', P .. 'a', num(now + 5000 * 2 ^ times), ARGV[1])
    return 0
  end
end
redis.call('ZREM', P .. 'a', ARGV[1])
return redis.call('HDEL', P .. 'b', ARGV[1], ARGV[1] .. ':n')
