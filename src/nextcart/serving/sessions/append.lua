-- Add to a session the events that it does not hold, keep the newest, renew its time, give back what it holds.
--
-- KEYS  1 its events, a list, oldest first · 2 what it was last shown
-- ARGV  1 how many events are kept · 2 its time in milliseconds · 3 '1' to be given what was shown · 4… packed events
--
-- Gives {number of events, the events joined, what was shown or nil}.
local keep = tonumber(ARGV[1])
local events = redis.call('LRANGE', KEYS[1], 0, -1)
local held = #events

if #ARGV > 3 then
  local known = {}
  for _, event in ipairs(events) do known[event] = true end
  for place = 4, #ARGV do
    local event = ARGV[place]
    if not known[event] then
      known[event] = true
      events[#events + 1] = event
    end
  end
end

local first = math.max(1, #events - keep + 1)
if #events > held then
  redis.call('RPUSH', KEYS[1], unpack(events, math.max(held + 1, first)))
  redis.call('LTRIM', KEYS[1], -keep, -1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])

local shown = ARGV[3] == '1' and redis.call('GET', KEYS[2])
return {#events - first + 1, table.concat(events, '', first), shown}
