-- ARGV: incarnation to start with, us to keep marks, then per target: mark, number of names, names...
-- Returns {clock, entries covered}.
relieve()
local f = load() or start(ARGV[1])
local now = now_us()
local h = math.max(f.clock + 1, now)
f.clock = h
local covered, i, targets = 0, 3, 0
while i <= #ARGV do
  local mark, names = ARGV[i], tonumber(ARGV[i + 1])
  i, targets = i + 2, targets + 1
  redis.call('ZADD', P .. 's', num(h), mark)
  for _ = 1, names do
    if head(ARGV[i]) then
      redis.call('SETRANGE', P .. 'e:' .. ARGV[i], 4, 'stal')
      covered = covered + 1
    end
    i = i + 1
  end
  local count = redis.call('ZCOUNT', P .. 't:' .. mark, num(math.floor(now / 1000)), '+inf')
  if count > 0 then
    covered = covered + count
    redis.call('ZADD', P .. 'x', num(h), 'e/' .. mark)
  end
end
forget_marks(f, tonumber(ARGV[2]), targets)
save(f)
return {num(h), covered}
