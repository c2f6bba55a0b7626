-- One node at a time sweeps a partition; the claim of a node that died lapses.
local function claim(token)
  local holder = redis.call('GET', P .. 'w')
  if holder and holder ~= token then return false end
  relieve()
  redis.call('SET', P .. 'w', token, 'PX', 2000)
  return true
end
