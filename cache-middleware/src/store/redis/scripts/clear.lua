-- ARGV: incarnation to start with, us to keep marks, entries to remove at once, then per target
--   'm', mark, number of names, names...   |   'p', pattern   |   'a'
-- Returns {clock, entries covered}. Sets too large to remove at once are renamed in O(1) and left to the sweep.
local f = load() or start(ARGV[1])
local now = now_us()
local h = math.max(f.clock + 1, now)
f.clock = h
local budget, covered, gone, i = tonumber(ARGV[3]), 0, {}, 4
local now_ms = num(math.floor(now / 1000))
while i <= #ARGV do
  local kind = ARGV[i]
  if kind == 'a' then
    f.all = h
    redis.call('ZADD', P .. 'x', num(h), 'a/')
    i = i + 1
  elseif kind == 'p' then
    f.pattern = h
    redis.call('ZADD', P .. 'g', num(h), ARGV[i + 1])
    redis.call('ZADD', P .. 'x', num(h), 'p/' .. ARGV[i + 1])
    i = i + 2
  else
    local mark, names = ARGV[i + 1], tonumber(ARGV[i + 2])
    i = i + 3
    redis.call('ZADD', P .. 'm', num(h), mark)
    for _ = 1, names do
      covered = covered + drop(gone, ARGV[i], f.inc, h)
      i = i + 1
    end
    local set = P .. 't:' .. mark
    local count = redis.call('ZCARD', set)
    if count > 0 then
      covered = covered + redis.call('ZCOUNT', set, now_ms, '+inf')
      redis.call('ZREM', P .. 'r', mark)
      if count <= budget then
        budget = budget - count
        local members = redis.call('ZRANGE', set, 0, -1)
        redis.call('UNLINK', set)
        for _, name in ipairs(members) do drop(gone, name, f.inc, h) end
      else
        local job = num(h) .. ':' .. mark
        redis.call('RENAME', set, P .. 'd:' .. job)
        redis.call('ZADD', P .. 'x', num(h), 'd/' .. job)
      end
    end
  end
end
leave(gone)
forget_marks(f, tonumber(ARGV[2]))
save(f)
return {num(h), covered}
