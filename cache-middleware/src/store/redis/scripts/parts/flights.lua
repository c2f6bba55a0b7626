-- A flight has ended, if it is still this one: those who wait are woken. Returns how many.
local function land(name, token, how)
  local flight, queue = P .. 'l:' .. name, P .. 'q:' .. name
  if redis.call('GET', flight) ~= token then return 0 end
  local waiting = redis.call('SMEMBERS', queue)
  redis.call('UNLINK', flight)
  if #waiting > 0 then redis.call('UNLINK', queue) end
  for _, node in ipairs(waiting) do redis.call(PUBLISH, P .. 'c:' .. node, 'landed ' .. how .. ' ' .. name) end
  return #waiting
end
