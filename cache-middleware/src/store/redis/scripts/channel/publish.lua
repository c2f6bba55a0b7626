-- Counts a message, keeps it, tells it. First the count: a number without its message is a gap, which whoever follows notices.
-- ARGV: channel, its name in keys, text (a JSON object), how many are kept, incarnation to start with. Returns {incarnation, number}.
local N, S, keep = P .. 'cn', P .. 'cs:' .. ARGV[2], tonumber(ARGV[4])
redis.call('HLEN', N)
redis.call('XLEN', S)
local f = load() or start(ARGV[5])
local n = num(redis.call('HINCRBY', N, ARGV[2], 1))
if keep == 0 then
  redis.call('UNLINK', S)
else
  local added = redis.pcall('XADD', S, 'MAXLEN', '~', keep, n .. '-0', 'm', ARGV[3])
  if type(added) == 'table' and added.err then
    -- Of another incarnation, or somebody else's: no smaller name is taken any more.
    redis.call('UNLINK', S)
    redis.call('XADD', S, n .. '-0', 'm', ARGV[3])
  end
end
redis.call('PUBLISH', ARGV[1], '{"position":"' .. f.inc .. ' ' .. n .. '",' .. string.sub(ARGV[3], 2))
return {f.inc, tonumber(n)}
