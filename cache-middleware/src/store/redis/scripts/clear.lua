-- ARGV: incarnation to start with, us to keep marks, commands to spend on removing at once, who clears, '1' for strict,
-- ms for which fills are refused, then per target
--   'm', mark, number of names, names...   |   'p', pattern   |   'a'
-- Returns {incarnation, clock, entries covered, nodes told, clock before it, nodes that hold a lease and what they
-- hold...}, the latter if it is strict. Sets too large to remove at once are renamed in O(1) and left to the sweep.
relieve()
local f = load() or start(ARGV[1])
local now = now_us()
local before = tick(f, now)
local h = f.clock
local budget, covered, gone, i, targets, told = tonumber(ARGV[3]), 0, {}, 7, 0, {}
local now_ms = num(math.floor(now / 1000))
local strict = ARGV[5] == '1'
local settle = tonumber(ARGV[6])

local function clear_all()
  f.all = h
  redis.call('ZADD', P .. 'x', num(h), 'a/')
end

while i <= #ARGV do
  local kind = ARGV[i]
  targets = targets + 1
  if kind ~= 'm' and not strict then
    strict = redis.call('ZCARD', P .. 'z') > 0
  end
  if kind == 'a' then
    clear_all()
    told[#told + 1] = target('a', '')
    i = i + 1
  elseif kind == 'p' then
    f.pattern = h
    told[#told + 1] = target('p', ARGV[i + 1])
    redis.call('ZADD', P .. 'g', num(h), ARGV[i + 1])
    redis.call('ZADD', P .. 'x', num(h), 'p/' .. ARGV[i + 1])
    -- Each open pattern costs every hit a comparison: beyond a bound, one clear of everything takes their place.
    if redis.call('ZCARD', P .. 'g') > 64 then
      clear_all()
      write(f)
      for _, pattern in ipairs(redis.call('ZRANGE', P .. 'g', 0, -1)) do redis.call('ZREM', P .. 'x', 'p/' .. pattern) end
      redis.call('UNLINK', P .. 'g')
    end
    i = i + 2
  else
    local mark, names = ARGV[i + 1], tonumber(ARGV[i + 2])
    i = i + 3
    redis.call('ZADD', P .. 'm', num(h), mark)
    if settle > 0 then redis.call('ZADD', P .. 'h', 'GT', num(now / 1000 + settle), mark) end
    if string.sub(mark, 1, 2) == 'n/' then redis.call('UNLINK', P .. 'y:' .. mark) end
    told[#told + 1] = target('m', mark)
    strict = strict or redis.call('ZSCORE', P .. 'z', mark) ~= false
    for _ = 1, names do
      local dropped, cost = drop(gone, ARGV[i], f.inc, h)
      covered, budget, i = covered + dropped, budget - cost, i + 1
    end
    local set = P .. 't:' .. mark
    local count = redis.call('ZCARD', set)
    if count > 0 then
      covered = covered + redis.call('ZCOUNT', set, now_ms, '+inf')
      local done = {}
      if count <= budget then
        for _, name in ipairs(redis.call('ZRANGE', set, 0, -1)) do
          if budget <= 0 then break end
          local _, cost = drop(gone, name, f.inc, h)
          budget = budget - cost
          done[#done + 1] = name
        end
      end
      if #done == count then
        redis.call('UNLINK', set)
      else
        local job = num(h) .. ':' .. mark
        redis.call('ZADD', P .. 'x', num(h), 'd/' .. job)
        redis.call('RENAME', set, P .. 'd:' .. job)
      end
      redis.call('ZREM', P .. 'r', mark)
    end
  end
end
if settle > 0 then redis.call('ZREMRANGEBYSCORE', P .. 'h', '-inf', '(' .. now_ms) end
leave(gone)
save_and_forget(f, tonumber(ARGV[2]), targets)
local reply = {f.inc, num(h), covered, signal(f, before, strict, ARGV[4], told), num(before)}
if strict then
  for _, field in ipairs(redis.call('HGETALL', P .. 'n')) do reply[#reply + 1] = field end
end
return reply
