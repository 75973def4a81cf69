import { CLOCK, NAMES } from './parts.ts';

/**
 * The limits of callers. `owner` is `:name` or empty, `share` that of its jobs, work is in thousandths of megapixel-steps, and a
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

/** What a caller uses of its limits. */
export const readUsage = `
-- Purpose: reads how many jobs of a caller wait and run, and what it has submitted today.
-- KEYS[1]: the hash of queued jobs by share.
-- ARGV: 1 prefix, 2 time or '', 3 caller.
-- Returns: {waiting, running, work}.
${NAMES}${CLOCK}${LIMITS}
local owner = ':' .. ARGV[3]
return { tonumber(redis.call('HGET', KEYS[1], ARGV[3]) or '0'),
  redis.call('ZCARD', key('list:PROCESSING' .. owner)), workOf(owner, clock(ARGV[2])) }
`;
