-- A flight has ended, if it is still this one: those who wait are woken. Returns whether it has. Nothing that is in the way, a slot
-- that moves or what somebody else put there, undoes what a script did before: then the flight is landed by itself.
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
