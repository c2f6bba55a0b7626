-- Who runs the handler of a key? ARGV: name, token, lease ms, node to wake, or '' for one that hears nothing.
-- Returns {'lead', whether there is an entry by now}, or {'wait', ms until the leader's lease is over}.
relieve()
local flight, queue = P .. 'l:' .. ARGV[1], P .. 'q:' .. ARGV[1]
-- What somebody else put there, another type or something that stays, is nobody's flight, and gives way.
local leader = redis.pcall('GET', flight)
local left = leader and redis.call('PTTL', flight) or -1
if type(leader) ~= 'string' or left < 0 or leader == ARGV[2] then
  redis.call('SET', flight, ARGV[2], 'PX', ARGV[3])
  return {'lead', redis.call('EXISTS', P .. 'e:' .. ARGV[1])}
end
if ARGV[4] ~= '' then
  if type(redis.pcall('SADD', queue, ARGV[4])) == 'table' then
    redis.call('UNLINK', queue)
    redis.call('SADD', queue, ARGV[4])
  end
  redis.call('PEXPIRE', queue, 60000)
end
return {'wait', left}
