-- ARGV: incarnation to start with, us to keep marks, commands to spend on removing at once, then per target
--   'm', mark, number of names, names...   |   'p', pattern   |   'a'
-- Returns {clock, entries covered}. Sets too large to remove at once are renamed in O(1) and left to the sweep.
relieve()
local f = load() or start(ARGV[1])
local now = now_us()
local h = math.max(f.clock + 1, now)
f.clock = h
local budget, covered, gone, i, targets = tonumber(ARGV[3]), 0, {}, 4, 0
local now_ms = num(math.floor(now / 1000))

local function clear_all()
  f.all = h
  redis.call('ZADD', P .. 'x', num(h), 'a/')
end

while i <= #ARGV do
  local kind = ARGV[i]
  targets = targets + 1
  if kind == 'a' then
    clear_all()
    i = i + 1
  elseif kind == 'p' then
    f.pattern = h
    redis.call('ZADD', P .. 'g', num(h), ARGV[i + 1])
    redis.call('ZADD', P .. 'x', num(h), 'p/' .. ARGV[i + 1])
    -- Each open pattern costs every hit a comparison: beyond a bound, one clear of everything takes their place.
    if redis.call('ZCARD', P .. 'g') > 64 then
      for _, pattern in ipairs(redis.call('ZRANGE', P .. 'g', 0, -1)) do redis.call('ZREM', P .. 'x', 'p/' .. pattern) end
      redis.call('UNLINK', P .. 'g')
      clear_all()
    end
    i = i + 2
  else
    local mark, names = ARGV[i + 1], tonumber(ARGV[i + 2])
    i = i + 3
    redis.call('ZADD', P .. 'm', num(h), mark)
    for _ = 1, names do
      local dropped, cost = drop(gone, ARGV[i], f.inc, h)
      covered, budget, i = covered + dropped, budget - cost, i + 1
    end
    local set = P .. 't:' .. mark
    local count = redis.call('ZCARD', set)
    if count > 0 then
      covered = covered + redis.call('ZCOUNT', set, now_ms, '+inf')
      redis.call('ZREM', P .. 'r', mark)
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
        redis.call('RENAME', set, P .. 'd:' .. job)
        redis.call('ZADD', P .. 'x', num(h), 'd/' .. job)
      end
    end
  end
end
leave(gone)
forget_marks(f, tonumber(ARGV[2]), targets)
save(f)
return {num(h), covered}
