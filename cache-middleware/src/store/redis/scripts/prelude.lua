-- Shared by every script. KEYS[1] is the fence of one partition; every other key has the same prefix, hence the same slot.
--   f  fence: "<incarnation> <clock> <all> <pattern> <floor> <open>"
--   e:<name> entry   t:<mark> index set: name -> expiry ms   d:<clock>:<mark> index set being swept
--   m, s  marks of clears and of expires: mark -> clock      g  patterns: pattern -> clock
--   x  open jobs: job -> clock    r  sets to tidy: mark -> earliest expiry ms    w  who sweeps
--   z  marks of entries whose clears are strict: mark -> latest expiry ms         n  nodes that hold a lease on their L1
--   h  marks whose fills are refused: mark -> until ms
--   a  what writes are about to clear: number -> when it is due, ms               b  the same: number -> targets
--   y:<mark> what a tenant has: name -> bytes, and '' -> their sum
--   cn  channels of messages: channel -> number of the last      cs:<channel> stream of those that are kept: number-0 -> m (text)
--   k:<name> a counter                   l:<name> who flies   q:<name> nodes that wait for it   c  channel of signals   c:<node>  channel of one node
--
-- While a slot moves to another server of a cluster, a command on a key that is gone already, or was never there, fails,
-- and what a script did before it stays done. So scripts write in an order in which every beginning of them is safe:
-- the clock and `open` before marks, marks before anything is removed, index before entry, jobs before renames.
-- Clocks are microseconds of a hybrid clock: exact as doubles until the year 2255, printed with %.0f because Lua's own
-- conversion keeps 14 digits only.
local F = KEYS[1]
local P = string.sub(F, 1, -2)

local function num(n) return string.format('%.0f', n) end

local function now_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function load()
  local raw = redis.call('GET', F)
  if not raw then return nil end
  local inc, clock, all, pattern, floor, open = string.match(raw, '^(%x+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not inc then return nil end
  return {inc = inc, clock = tonumber(clock), all = tonumber(all), pattern = tonumber(pattern),
          floor = tonumber(floor), open = tonumber(open)}
end

local function write(f)
  redis.call('SET', F, table.concat(
    {f.inc, num(f.clock), num(f.all), num(f.pattern), num(f.floor), num(f.open)}, ' '))
end

local function save(f)
  f.open = redis.call('ZCARD', P .. 'x')
  write(f)
end

-- Redis that is full refuses the first write of a script if it may need memory, and lets the rest through: scripts that
-- free memory begin with one that needs none.
local function relieve() redis.call('UNLINK', P .. 'o') end

-- Without a fence nothing is known of what was cleared: a new incarnation makes every older entry and lease void.
local function start(inc)
  local f = {inc = inc, clock = now_us(), all = 0, pattern = 0, floor = 0, open = 0}
  save(f)
  return f
end

-- The head of an entry up to the end of its marks; nil if there is none, or foreign bytes.
local function head(name)
  local key = P .. 'e:' .. name
  local v = redis.call('GETRANGE', key, 0, 1023)
  if #v < 90 or string.sub(v, 1, 3) ~= 'CMW' then return nil end
  local size = 88 + struct.unpack('>I4', v, 81)
  if size > #v and #v == 1024 then v = redis.call('GETRANGE', key, 0, size - 1) end
  return v
end

local function marks_in(v)
  local sets, count, at = {}, struct.unpack('>H', v, 89), 91
  for _ = 1, count do
    local length = struct.unpack('>H', v, at + 1)
    if string.sub(v, at, at) == 'i' then sets[#sets + 1] = string.sub(v, at + 3, at + 2 + length) end
    at = at + 3 + length
  end
  return sets
end

-- The index sets an entry is in; none if its bytes were tampered with, which must not stop a sweep.
local function sets_of(v)
  local ok, sets = pcall(marks_in, v)
  return ok and sets or {}
end

local function older(v, inc, before)
  local clock = tonumber(string.sub(v, 57, 72))
  return string.sub(v, 41, 56) ~= inc or not clock or clock < before
end

-- Marks an entry as expired at a clock; one that has been already stays as it is, for its window has begun.
local function expire(name, v, clock)
  if string.sub(v, 5, 8) == 'stal' then return end
  local at = string.format('%016.0f', clock)
  redis.call('SETRANGE', P .. 'e:' .. name, 4, 'stal' .. at .. at)
end

-- Notes an entry in `keys` if it is older than `before` and so must be unlinked, and in `gone` the sets it must leave.
-- Returns what that costs in commands.
local function doom(gone, keys, name, inc, before)
  local v = head(name)
  if not v or not older(v, inc, before) then return 1 end
  keys[#keys + 1] = P .. 'e:' .. name
  local sets = sets_of(v)
  for _, set in ipairs(sets) do
    local names = gone[set] or {}
    names[#names + 1], gone[set] = name, names
  end
  return 1 + #sets
end

-- The same, and unlinks it. Returns how many entries were removed, and the cost.
local function drop(gone, name, inc, before)
  local keys = {}
  local cost = doom(gone, keys, name, inc, before)
  if #keys > 0 then redis.call('UNLINK', keys[1]) end
  return #keys, cost
end

-- Names have left a set: if it is a tenant's, it has their bytes no more.
local function forget_bytes(set, names)
  if string.sub(set, 1, 2) ~= 'n/' or #names == 0 then return end
  local y, sum = P .. 'y:' .. set, 0
  for _, size in ipairs(redis.call('HMGET', y, unpack(names))) do sum = sum + (tonumber(size) or 0) end
  redis.call('HDEL', y, unpack(names))
  if sum > 0 and redis.call('HINCRBY', y, '', num(-sum)) <= 0 then redis.call('UNLINK', y) end
end

local function leave(gone)
  for set, names in pairs(gone) do
    redis.call('ZREM', P .. 't:' .. set, unpack(names))
    forget_bytes(set, names)
  end
end

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

-- One node at a time sweeps a partition; the claim of a node that died lapses.
local function claim(token)
  local holder = redis.call('GET', P .. 'w')
  if holder and holder ~= token then return false end
  relieve()
  redis.call('SET', P .. 'w', token, 'PX', 2000)
  return true
end
