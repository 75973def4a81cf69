import { REMOVALS_KEPT, REMOVALS_KEPT_MS } from '../../../jobs/ports.ts';
import { NAMES, PAGES, READ } from './parts.ts';

/** Reads a page of a list. */
export const listJobs = `
-- Purpose: merges lists of jobs, newest first, and reads the first or the last jobs between two positions.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2 maximum of jobs, 3 'first' or 'last', 4 and 5 time of submit and id of the job before the range,
--   6 and 7 those of the job behind it, '' where the range is open, 8… names of the lists.
-- Returns: {state, request, …}, newest first.
${NAMES}${READ}${PAGES}
local limit, last = tonumber(ARGV[2]), ARGV[3] == 'last'
local entries = {}
for n = 8, #ARGV do
  local list = key('list:' .. ARGV[n])
  local ids = entriesOf(list, ranks(list, { ARGV[4], ARGV[5], ARGV[6], ARGV[7] }, limit, last))
  for i = 1, #ids, 2 do entries[#entries + 1] = { id = ids[i], created = tonumber(ids[i + 1]) } end
end
table.sort(entries, function(a, b)
  if a.created ~= b.created then return a.created > b.created end
  return before(b.id, a.id)
end)
local found = {}
local from = last and math.max(0, #entries - limit) or 0
for n = from + 1, math.min(from + limit, #entries) do read(found, entries[n].id) end
return found
`;

/** Reads a page of the jobs with some tags. */
export const listTagged = `
-- Purpose: walks through the jobs with the rarest of the tags, from one end of a range, and reads those that have all tags
--   and one of the statuses. It looks at a limited number of jobs, because Redis does nothing else meanwhile.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2 maximum of jobs, 3 'first' or 'last', 4 and 5 time of submit and id of the job before the range,
--   6 and 7 those of the job behind it, '' where the range is open, 8 maximum of jobs to look at, 9 statuses as ' A B ', or
--   '' for all, 10… tags, with the owner.
-- Returns: {time of submit, id, state, request, …} in the order of the walk: first how far it went, both '' at the end.
${NAMES}${READ}${PAGES}
local limit, last, step = tonumber(ARGV[2]), ARGV[3] == 'last', tonumber(ARGV[8])
local lists, rarest = {}, 1
for n = 10, #ARGV do
  lists[#lists + 1] = { name = key('tag:' .. ARGV[n]), size = redis.call('ZCARD', key('tag:' .. ARGV[n])) }
  if lists[#lists].size < lists[rarest].size then rarest = #lists end
end
local walked = lists[rarest].name
local function matches(id)
  for n, list in ipairs(lists) do
    if n ~= rarest and not redis.call('ZSCORE', list.name, id) then return false end
  end
  local status = redis.call('HGET', record(id), 'status')
  -- A gateway of version 1 leaves the tags of the jobs that it deletes.
  if not status then redis.call('ZREM', walked, id) end
  return status and (ARGV[9] == '' or ARGV[9]:find(' ' .. status .. ' ', 1, true) ~= nil)
end
local ids = entriesOf(walked, ranks(walked, { ARGV[4], ARGV[5], ARGV[6], ARGV[7] }, step, last))
local found, count = { '', '' }, 0
local from, to, by = 1, #ids - 1, 2
if last then from, to, by = #ids - 1, 1, -2 end
for n = from, to, by do
  if count == limit then return found end
  if matches(ids[n]) then
    read(found, ids[n])
    count = count + 1
  end
end
if #ids == 2 * step then found[1], found[2] = ids[to + 1], ids[to] end
return found
`;

/** Counts the jobs of lists. */
export const totalJobs = `
-- Purpose: counts the jobs of lists at one moment.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2… names of the lists.
-- Returns: the number.
${NAMES}
local total = 0
for n = 2, #ARGV do total = total + redis.call('ZCARD', key('list:' .. ARGV[n])) end
return total
`;

/** Reads the newest changes of jobs. */
export const readChanges = `
-- Purpose: reads the jobs that changed and the ids of those that were removed after a number, oldest change first.
-- KEYS[1]: string: the name of the stored data.
-- ARGV: 1 prefix, 2 owner as ':name' or '', 3 the number, 4 maximum of changes.
-- Returns: {name, newest number of any change, number below which removals may be forgotten, id, number, state, request, …},
--   with nil for both halves of a removed job.
${NAMES}${READ}
local limit = tonumber(ARGV[4])
local changed, removed = key('changed' .. ARGV[2]), key('removed' .. ARGV[2])
local time = redis.call('TIME')
local forgotten = tonumber(time[1]) * 1000000 - ${REMOVALS_KEPT_MS * 1000}
if redis.call('ZCARD', removed) >= ${REMOVALS_KEPT} then
  forgotten = math.max(forgotten, tonumber(redis.call('ZRANGE', removed, 0, 0, 'WITHSCORES')[2]))
end
-- A position before the first change must be in time, too, or it would soon be too old.
redis.call('SET', key('number'), string.format('%.0f', tonumber(time[1]) * 1000000), 'NX')
local found = { redis.call('GET', KEYS[1]) or '', redis.call('GET', key('number')), string.format('%.0f', forgotten) }
if limit == 0 then return found end
local entries = {}
for _, set in ipairs({ changed, removed }) do
  local ids = redis.call('ZRANGEBYSCORE', set, '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for n = 1, #ids, 2 do entries[#entries + 1] = { id = ids[n], number = tonumber(ids[n + 1]), set = set } end
end
table.sort(entries, function(a, b) return a.number < b.number end)
for n = 1, math.min(limit, #entries) do
  local id = entries[n].id
  found[#found + 1] = id
  found[#found + 1] = string.format('%.0f', entries[n].number)
  read(found, id)
end
return found
`;
