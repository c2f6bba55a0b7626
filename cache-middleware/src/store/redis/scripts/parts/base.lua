-- The first part of every script; a function costs each run of a script that has it, so the others are in parts of their own.
-- KEYS[1] is the fence of one partition; every other key has the same prefix, hence the same slot.
--   f  fence: "<incarnation> <clock> <all> <pattern> <floor> <open>"
--   e:<name> entry   t:<mark> index set: name -> expiry ms   d:<clock>:<mark> index set being swept
--   m, s  marks of clears and of expires: mark -> clock      g  patterns: pattern -> clock
--   x  open jobs: job -> clock    r  sets to tidy: mark -> earliest expiry ms    w  who sweeps
--   z  marks of entries whose clears are strict: mark -> latest expiry ms         n  nodes that hold a lease on their L1
--   h  marks whose fills are refused: mark -> until ms
--   a  what writes are about to clear: number -> when it is due, ms               b  the same: number -> targets
--   y:<mark> what a tenant has: name -> bytes, and '' -> their sum
--   cn  channels of messages: channel -> number of the last      cs:<channel> stream of those that are kept: number-0 -> m (text)
--   k:<name> a counter                   l:<name> who flies   q:<name> nodes that wait for it
--   c  channel of signals                c:<node>  channel of one node                       i  run id of the server
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
