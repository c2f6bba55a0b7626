-- Counts a message, keeps it for a day at most, tells it. First the count: a number without its message is a gap, which whoever follows
-- notices. ARGV: channel, its name in keys, text (a JSON object), how many are kept, its check, incarnation to start with.
-- Returns {incarnation, number}.
local N, S, keep, check = P .. 'cn', P .. 'cs:' .. ARGV[2], tonumber(ARGV[4]), ARGV[5]
-- What somebody else put there must not stop the channel. Each is read before anything is written, for a slot that is about to leave.
local last = redis.pcall('HGET', N, ARGV[2])
local is_ours = type(last) ~= 'table'
local stream = redis.pcall('XLEN', S)
local f = load() or start(ARGV[6])
local n, before = string.match(is_ours and last or '', '^(%d+) (%x+)$')
if not is_ours then redis.call('UNLINK', N) end
n, before = num(tonumber(n or 0) + 1), before or '0000000000000000'
redis.call('HSET', N, ARGV[2], n .. ' ' .. check)
if keep == 0 then
  redis.call('UNLINK', S)
else
  local added = type(stream) == 'table' and stream or redis.pcall('XADD', S, 'MAXLEN', '~', keep, n .. '-0', check, ARGV[3])
  if type(added) == 'table' and added.err then
    -- Of another incarnation, or somebody else's: no smaller name is taken any more.
    redis.call('UNLINK', S)
    redis.call('XADD', S, n .. '-0', check, ARGV[3])
  end
  redis.call('PEXPIRE', S, 86400000)
end
-- The quick way only: whoever misses it asks.
redis.pcall('PUBLISH', ARGV[1],
  '{"position":"' .. f.inc .. ' ' .. n .. ' ' .. check .. ' ' .. before .. '",' .. string.sub(ARGV[3], 2))
return {f.inc, tonumber(n)}
