-- ARGV: token, mark, clock of the job, cursor, chunk. Returns {next cursor, visited}; '0' when the job is done, or has
-- begun anew under another clock.
if not claim(ARGV[1]) then return {ARGV[4], 0} end
local f, job = load(), 'e/' .. ARGV[2]
if not f or redis.call('ZSCORE', P .. 'x', job) == false then return {'0', 0} end
local clock = tonumber(ARGV[3])
local page = redis.call('ZSCAN', P .. 't:' .. ARGV[2], ARGV[4], 'COUNT', ARGV[5])
for i = 1, #page[2], 2 do
  local v = head(page[2][i])
  if v and older(v, f.inc, clock) then expire(page[2][i], v, clock) end
end
if page[1] == '0' and tonumber(redis.call('ZSCORE', P .. 'x', job)) == clock then
  redis.call('ZREM', P .. 'x', job)
  save(f)
end
return {page[1], #page[2] / 2}
