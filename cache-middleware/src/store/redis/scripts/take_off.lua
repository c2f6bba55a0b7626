-- Who runs the handler of a key? ARGV: name, token, lease ms, node to wake, or '' for one that hears nothing.
-- Returns {'lead', whether there is an entry by now}, or {'wait', ms until the leader's lease is over}.
relieve()
local flight = P .. 'l:' .. ARGV[1]
local leader = redis.call('GET', flight)
if not leader or leader == ARGV[2] then
  redis.call('SET', flight, ARGV[2], 'PX', ARGV[3])
  return {'lead', redis.call('EXISTS', P .. 'e:' .. ARGV[1])}
end
if ARGV[4] ~= '' then
  redis.call('SADD', P .. 'q:' .. ARGV[1], ARGV[4])
  redis.call('PEXPIRE', P .. 'q:' .. ARGV[1], 60000)
end
return {'wait', redis.call('PTTL', flight)}
