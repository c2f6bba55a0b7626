-- ARGV: queue, key, 'p' or 'a', bytes or amount, most changes, most bytes. Returns {'ok', 'full' or 'unbegun', how many wait}.
local waiting, state = redis.call('XLEN', J), redis.call('HMGET', I, 'bytes', 'last')
redis.call('HLEN', U)
if not state[2] then return {'unbegun', waiting} end
if waiting >= tonumber(ARGV[5]) or tonumber(state[1] or 0) + #ARGV[2] + #ARGV[4] > tonumber(ARGV[6]) then
  return {'full', waiting}
end
append(ARGV[2], ARGV[3], ARGV[4], tonumber(state[2]))
return {'ok', waiting + 1}
