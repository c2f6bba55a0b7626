-- The clock, and what a clear tells.

-- Moves the clock. Until the script has ended, hits compare marks.
local function tick(f, now)
  local before = f.clock
  f.clock = math.max(f.clock + 1, now)
  f.open = f.open + 1
  write(f)
  return before
end

-- Saves the fence, and forgets marks that are older than `keep` and than every open job. Before that it raises the floor
-- to the newest forgotten: leases below the floor are refused, so that no fill can slip past a forgotten mark, however
-- late it arrives.
local function save_and_forget(f, keep, targets)
  local open = redis.call('ZRANGE', P .. 'x', 0, 0, 'WITHSCORES')
  local limit = tonumber(open[2]) or f.clock
  local forgotten = {}
  for _, set in ipairs({'m', 's'}) do
    local before = math.min(limit, f.clock - keep)
    if redis.call('ZCARD', P .. set) > 100000 then before = limit end
    local old = redis.call('ZRANGEBYSCORE', P .. set, '-inf', '(' .. num(before), 'WITHSCORES', 'LIMIT', 0, 100 + 2 * targets)
    if #old > 0 then
      local ids = {}
      for i = 1, #old, 2 do ids[#ids + 1] = old[i] end
      f.floor = math.max(f.floor, tonumber(old[#old]))
      forgotten[set] = ids
    end
  end
  save(f)
  for set, ids in pairs(forgotten) do redis.call('ZREM', P .. set, unpack(ids)) end
end

-- Tells the other nodes: `v2 <incarnation> <clock before> <clock> <strict> <who> <targets>`, each target a letter, the
-- length of its text, and the text. Returns how many hear it.
local function signal(f, before, strict, who, targets)
  return redis.call(PUBLISH, P .. 'c', table.concat(
    {'v2', f.inc, num(before), num(f.clock), strict and '1' or '0', who, table.concat(targets)}, ' '))
end

local function target(kind, text) return kind .. #text .. ':' .. text end
