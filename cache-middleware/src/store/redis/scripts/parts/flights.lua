-- A flight has ended, if it is still this one: those who wait are woken, or look again when its lease would have been over. Returns
-- whether it has ended by this. What is in the way, a slot that moves or what somebody else put there, is no error: a script has
-- stored its entry before.
local function land(name, token, how)
  local flight, queue = P .. 'l:' .. name, P .. 'q:' .. name
  if redis.pcall('GET', flight) ~= token then return false end
  local waiting = redis.pcall('SMEMBERS', queue)
  if type(redis.pcall('UNLINK', flight)) == 'table' then return false end
  if waiting.err or #waiting > 0 then redis.pcall('UNLINK', queue) end
  for _, node in ipairs(waiting.err and {} or waiting) do
    redis.pcall(PUBLISH, P .. 'c:' .. node, 'landed ' .. how .. ' ' .. name)
  end
  return true
end
