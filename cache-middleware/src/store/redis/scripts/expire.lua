-- ARGV: incarnation to start with, us to keep marks, who expires, then per target: mark, number of names, names...
-- Returns {incarnation, clock, entries covered, nodes told, clock before it}.
relieve()
local f = load() or start(ARGV[1])
local now = now_us()
local before = tick(f, now)
local h = f.clock
local covered, i, targets, told = 0, 4, 0, {}
while i <= #ARGV do
  local mark, names = ARGV[i], tonumber(ARGV[i + 1])
  i, targets = i + 2, targets + 1
  redis.call('ZADD', P .. 's', num(h), mark)
  told[#told + 1] = target('m', mark)
  for _ = 1, names do
    local v = head(ARGV[i])
    if v then
      expire(ARGV[i], v, h)
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
save_and_forget(f, tonumber(ARGV[2]), targets)
return {f.inc, num(h), covered, signal(f, before, false, ARGV[3], told), num(before)}
