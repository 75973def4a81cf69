import { REMOVALS_KEPT, REMOVALS_KEPT_MS } from '../../../jobs/ports.ts';
import { NAMES, PAGES, READ } from './parts.ts';

/** Reads a page of a list. */
export const listJobs = `
-- Purpose: merges lists of jobs, newest first, and reads a page of them.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2 maximum of jobs, 3 and 4 time of submit and id of the job before the page, both '' for the first
--   page, 5… names of the lists.
-- Returns: {state, request, …}.
${NAMES}${READ}${PAGES}
local limit = tonumber(ARGV[2])
local entries = {}
for n = 5, #ARGV do
  local list = key('list:' .. ARGV[n])
  local first = skipped(list, ARGV[3], ARGV[4])
  local ids = redis.call('ZREVRANGE', list, first, first + limit - 1, 'WITHSCORES')
  for i = 1, #ids, 2 do entries[#entries + 1] = { id = ids[i], created = tonumber(ids[i + 1]) } end
end
table.sort(entries, function(a, b)
  if a.created ~= b.created then return a.created > b.created end
  return before(b.id, a.id)
end)
local found = {}
for n = 1, math.min(limit, #entries) do read(found, entries[n].id) end
return found
`;

/** Reads a page of the jobs with some tags. */
export const listTagged = `
-- Purpose: walks through the jobs with the rarest of the tags, newest first, and reads those that have all tags and one
--   of the statuses. It looks at a limited number of jobs, because Redis does nothing else meanwhile.
-- KEYS[1]: any of our keys, for the slot.
-- ARGV: 1 prefix, 2 maximum of jobs, 3 and 4 time of submit and id of the job before the page, both '' for the first
--   page, 5 maximum of jobs to look at, 6 statuses as ' A B ', or '' for all, 7… tags, with the owner.
-- Returns: {time of submit, id, state, request, …}: first where to go on, both '' at the end.
${NAMES}${READ}${PAGES}
local limit, step = tonumber(ARGV[2]), tonumber(ARGV[5])
local lists, rarest = {}, 1
for n = 7, #ARGV do
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
  return status and (ARGV[6] == '' or ARGV[6]:find(' ' .. status .. ' ', 1, true) ~= nil)
end
local first = skipped(walked, ARGV[3], ARGV[4])
local ids = redis.call('ZREVRANGE', walked, first, first + step - 1, 'WITHSCORES')
local found, count = { '', '' }, 0
for n = 1, #ids, 2 do
  if count == limit then return found end
  if matches(ids[n]) then
    read(found, ids[n])
    count = count + 1
  end
end
if #ids == 2 * step then found[1], found[2] = ids[#ids], ids[#ids - 1] end
return found
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
