-- Shared by the scripts of a queue. ARGV[1] is its name.
--   j:<queue> stream of changes: number-0 -> k (key), p (bytes) or a (amount)     p:<queue> stream of what is set aside: the same, r (reason)
--   u:<queue> what waits by key: p<key> -> number of the newest value, a<key> -> sum of the amounts
--   i:<queue> last (number), bytes (that wait), upto (end of the sealed batch), done (number settled last)
--   v:<queue> token of who flushes
-- Every script reads all it writes before it writes: when a slot is about to leave, it fails before it has done a part.
local Q = ARGV[1]
local J, A, U, I, V = P .. 'j:' .. Q, P .. 'p:' .. Q, P .. 'u:' .. Q, P .. 'i:' .. Q, P .. 'v:' .. Q

local function id(number) return num(number) .. '-0' end
local function number_of(row) return tonumber(string.match(row[1], '^%d+')) end
local function size_of(fields) return #fields[2] + #fields[4] end

-- The rows from the one after `from` to `upto`, and what they hold in bytes: at most so many of either.
local function rows_after(from, upto, most, bytes)
  local rows, size = {}, 0
  local start = from
  while #rows < most do
    local some = redis.call('XRANGE', J, start, upto, 'COUNT', math.min(64, most - #rows))
    for _, row in ipairs(some) do
      size = size + size_of(row[2])
      if size > bytes and #rows > 0 then return rows, size end
      rows[#rows + 1] = row
    end
    if #some == 0 then break end
    start = '(' .. some[#some][1]
  end
  return rows, size
end

-- As text: a number of Lua's would lose digits.
local function negated(amount)
  if string.sub(amount, 1, 1) == '-' then return string.sub(amount, 2) end
  return amount == '0' and amount or '-' .. amount
end

-- A row waits no more.
local function forget(row)
  local fields, n = row[2], number_of(row)
  if fields[3] == 'p' then
    if tonumber(redis.call('HGET', U, 'p' .. fields[2]) or 0) == n then redis.call('HDEL', U, 'p' .. fields[2]) end
  elseif redis.call('HINCRBY', U, 'a' .. fields[2], negated(fields[4])) == 0 then
    redis.call('HDEL', U, 'a' .. fields[2])
  end
  redis.call('HINCRBY', I, 'bytes', num(-size_of(fields)))
end

local function append(key, kind, payload)
  local n = math.max(now_us(), tonumber(redis.call('HGET', I, 'last') or 0) + 1)
  -- First what may fail: a sum has an end, and a Redis that is full says so at the first write.
  if kind == 'p' then
    redis.call('HSET', U, 'p' .. key, num(n))
  else
    redis.call('HINCRBY', U, 'a' .. key, payload)
  end
  redis.call('XADD', J, id(n), 'k', key, kind, payload)
  redis.call('HSET', I, 'last', num(n))
  redis.call('HINCRBY', I, 'bytes', #key + #payload)
end
