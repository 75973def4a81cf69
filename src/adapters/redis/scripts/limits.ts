import { announcing, CLOCK, NAMES, ORDER } from './parts.ts';

/**
 * The limits of submits. `owner` is `:name` or empty, `share` that of its jobs, work is in thousandths of megapixel-steps, and a
 * limit that is not set is ''. Needs NAMES and CLOCK.
 */
export const LIMITS = `
local DAY_MS = 86400000
local function usageKey(day) return key('usage:' .. string.format('%.0f', day)) end
local function workOf(owner, now)
  return tonumber(redis.call('HGET', usageKey(math.floor(now / DAY_MS)), owner) or '0')
end
-- The reply for jobs and work that would exceed a limit; nil when they do not.
local function overLimit(owner, share, jobs, work, maxWaiting, maxWork, now)
  if maxWaiting ~= '' then
    local waiting = tonumber(redis.call('HGET', key('turns'), share) or '0')
    if waiting + jobs > tonumber(maxWaiting) then return { 'over-limit', 'WAITING_JOBS', waiting } end
  end
  if maxWork ~= '' then
    local used = workOf(owner, now)
    if used + work > tonumber(maxWork) then return { 'over-limit', 'MEGAPIXEL_STEPS_PER_DAY', used } end
  end
  return nil
end
-- The counters of a day are kept for an hour more, for gateways that look at it late.
local function countWork(owner, work, now)
  if owner == '' or work == 0 then return end
  local day = math.floor(now / DAY_MS)
  local name = usageKey(day)
  if redis.call('HINCRBY', name, owner, whole(work)) == work then
    redis.call('PEXPIRE', name, whole((day + 1) * DAY_MS - now + 3600000))
  end
end
`;

/**
 * Callers at the limit of their policy. Their waiting jobs are moved from the queue to `limited:<owner>` by the claim that meets
 * them, with their scores, and come back one by one (`putBack`): while a caller is below its limit and has such jobs, one that
 * precedes them all is in the queue, and a claim that meets it looks at the others, too. `owner` is `:name`.
 */
export const LIMITED = `
-- How many jobs of a caller lanes hold. Gateways before version 6 leave entries of jobs that are no longer in a lane, which
-- are dropped when there seem to be as many as a limit.
local function heldBy(owner, limit)
  local set = key('held' .. owner)
  local count = redis.call('SCARD', set)
  if count < limit then return count end
  for _, id in ipairs(redis.call('SMEMBERS', set)) do
    if redis.call('HEXISTS', key('held'), id) == 0 then count = count - redis.call('SREM', set, id) end
  end
  return count
end
local function unlimit(owner, id)
  local list = key('limited' .. owner)
  if redis.call('ZREM', list, id) == 1 and redis.call('EXISTS', list) == 0 then
    redis.call('SREM', key('limited'), owner)
  end
end
-- Moves the best of a caller's limited jobs to the queue. Returns its id; nil: there is none.
local function putBack(owner)
  local list, id = key('limited' .. owner), nil
  repeat
    local found = redis.call('ZPOPMIN', list)
    id = found[1]
    -- Gateways before version 6 leave entries of jobs that no longer wait.
    local waits = id and redis.call('HGET', record(id), 'waiting') == '1'
    if waits then redis.call('ZADD', key('queue'), found[2], id) end
  until waits or not id
  if redis.call('EXISTS', list) == 0 then redis.call('SREM', key('limited'), owner) end
  return id
end
-- Sets the policy of a caller; '': it has none.
local function setPolicy(owner, policy)
  if owner == '' then return end
  if policy == '' then redis.call('HDEL', key('policies'), owner) else redis.call('HSET', key('policies'), owner, policy) end
end
`;

/** What a caller uses of its limits. */
export const readUsage = `
-- Purpose: reads how many jobs of a caller have not started and how many are in lanes, and what it has submitted today.
-- KEYS[1]: the hash of queued jobs by share.
-- ARGV: 1 prefix, 2 time or '', 3 caller.
-- Returns: {waiting, running, work}.
${NAMES}${CLOCK}${LIMITS}${LIMITED}
local owner = ':' .. ARGV[3]
return { tonumber(redis.call('HGET', KEYS[1], ARGV[3]) or '0'), heldBy(owner, 0), workOf(owner, clock(ARGV[2])) }
`;

/** Counts jobs of a caller, `:name`, in lanes. */
const NOT_STARTED = `
-- How many of the jobs that lanes hold have not started.
local function notStarted(owner)
  local count = 0
  for _, id in ipairs(redis.call('SMEMBERS', key('held' .. owner))) do
    local inLane = redis.call('HEXISTS', key('held'), id) == 1
    if inLane and redis.call('HGET', record(id), 'status') == 'QUEUED' then count = count + 1 end
  end
  return count
end
`;

/** Counts the jobs that wait for a limit. */
export const countLimited = `
-- Purpose: counts the waiting jobs that are more than their callers may have in lanes besides those that are there. Looks at the
--   callers with jobs that have not started.
-- KEYS[1]: the hash of queued jobs by share, which for an identified caller is the caller.
-- ARGV: 1 prefix, 2 limits by policy as JSON.
-- Returns: the number.
${NAMES}${LIMITED}${NOT_STARTED}
local limits, total = cjson.decode(ARGV[2]), 0
local queued = redis.call('HGETALL', KEYS[1])
for n = 1, #queued, 2 do
  local owner, waiting = ':' .. queued[n], tonumber(queued[n + 1])
  local policy = redis.call('HGET', key('policies'), owner)
  local limit = policy and limits[policy]
  if limit then
    local held = heldBy(owner, limit)
    total = total + math.max(0, waiting - notStarted(owner) - math.max(0, limit - held))
  end
end
return total
`;

/** Where a job waits. */
export const readPlace = `
-- Purpose: counts the jobs before a waiting job, without those of other callers at their limit, and says whether its own caller is
--   at its limit. Jobs that no claim has met since their caller reached its limit are still in the queue: they are looked for there.
-- KEYS[1]: the queue.
-- ARGV: 1 prefix, 2 id, 3 owner as ':name' or '', 4 limits by policy as JSON.
-- Returns: {jobs before it, those of them of the caller, the limit or ''}, or {} when it does not wait. The second is right only
--   where there is a limit.
${NAMES}${LIMITED}${NOT_STARTED}${ORDER}
local id, owner, limits = ARGV[2], ARGV[3], cjson.decode(ARGV[4])
local list = owner ~= '' and key('limited' .. owner)
local score = redis.call('ZSCORE', KEYS[1], id) or (list and redis.call('ZSCORE', list, id))
if not score then return {} end
local function ahead(name)
  local count = redis.call('ZCOUNT', name, '-inf', '(' .. score)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', name, score, score)) do
    if before(other, id) then count = count + 1 end
  end
  return count
end

-- The limits of the callers that are at theirs, and how many of their jobs are in the queue.
local reached, total = {}, 0
for _, job in ipairs(redis.call('HKEYS', key('held'))) do
  local caller = redis.call('HGET', record(job), 'owner')
  if caller and caller ~= '' and reached[caller] == nil then
    local policy = redis.call('HGET', key('policies'), caller)
    local limit = policy and limits[policy]
    reached[caller] = limit and heldBy(caller, limit) >= limit and limit or false
    if reached[caller] then
      local waiting = redis.call('ZCARD', key('list:QUEUED' .. caller)) - notStarted(caller)
      total = total + math.max(0, waiting - redis.call('ZCARD', key('limited' .. caller)))
    end
  end
end

local queued, others, own = ahead(KEYS[1]), 0, list and ahead(list) or 0
local count = queued + own
for from = 0, queued - 1, 1000 do
  if total == 0 then break end
  for _, other in ipairs(redis.call('ZRANGE', KEYS[1], from, math.min(from + 1000, queued) - 1)) do
    local caller = redis.call('HGET', record(other), 'owner')
    if caller and reached[caller] then
      if caller == owner then own = own + 1 else others = others + 1 end
      total = total - 1
    end
  end
end
return { count - others, own, reached[owner] or '' }
`;

/** Applies changed policies. */
export const setPolicies = (sharded: boolean): string => `
-- Purpose: sets the policies of callers, and puts all jobs that wait for a limit back in the queue: the next claims decide anew.
-- KEYS[1]: the queue.
-- ARGV: 1 prefix, 2… pairs of a caller as ':name' and its policy or ''.
-- Returns: how many jobs were put back.
${NAMES}${LIMITED}${announcing(sharded)}
for n = 2, #ARGV, 2 do setPolicy(ARGV[n], ARGV[n + 1]) end
local count, last = 0, nil
for _, owner in ipairs(redis.call('SMEMBERS', key('limited'))) do
  local id = putBack(owner)
  while id do
    count, last = count + 1, id
    id = putBack(owner)
  end
end
if last then announce('waiting', last) end
return count
`;
