-- Entries, and the index sets that they are in.

-- The head of an entry up to the end of its marks; nil if there is none, or foreign bytes.
local function head(name)
  local key = P .. 'e:' .. name
  -- As text: a number would be printed for each entry, which is slow.
  local v = redis.call('GETRANGE', key, '0', '1023')
  if #v < 90 or string.sub(v, 1, 3) ~= 'CMW' then return nil end
  local size = 88 + struct.unpack('>I4', v, 81)
  if size > #v and #v == 1024 then v = redis.call('GETRANGE', key, 0, size - 1) end
  return v
end

local function marks_in(v)
  local sets, count, at = {}, struct.unpack('>H', v, 89), 91
  for _ = 1, count do
    local kind, length = struct.unpack('>c1H', v, at)
    if kind == 'i' then sets[#sets + 1] = string.sub(v, at + 3, at + 2 + length) end
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
