import { CLOCK, NAMES, READ } from './parts.ts';

/** Takes a lane. */
export const acquireLane = `
-- Purpose: takes a lane that nobody holds. The token is at least the present time, so that it rises also when Redis
--   lost what it knew of the lane, and a holder from before stays shut out.
-- KEYS[1]: the hash of tokens by lane.
-- ARGV: 1 prefix, 2 time or '', 3 lane, 4 length of the lease in milliseconds.
-- Returns: nil when it is held; {token} or {token, state, request} with the job that the last holder left.
${NAMES}${CLOCK}${READ}
local lane, now = ARGV[3], clock(ARGV[2])
if tonumber(redis.call('HGET', key('lane-ends'), lane) or '0') > now then return nil end
local token = math.max(tonumber(redis.call('HGET', KEYS[1], lane) or '0') + 1, now)
redis.call('HSET', KEYS[1], lane, whole(token))
redis.call('HSET', key('lane-ends'), lane, whole(now + tonumber(ARGV[4])))
local answer = { token }
local held = redis.call('HGETALL', key('held'))
for n = 1, #held, 2 do
  if held[n + 1] == lane and #answer == 1 then read(answer, held[n]) end
end
return answer
`;

/** Keeps a lane, or gives it up. */
export const extendLane = `
-- Purpose: sets the end of a lease anew if it was not taken over. A length of 0 gives the lane up now.
-- KEYS[1]: the hash of tokens by lane.
-- ARGV: 1 prefix, 2 time or '', 3 lane, 4 token, 5 length in milliseconds.
-- Returns: 1, or 0 when somebody else has the lane.
${NAMES}${CLOCK}
if redis.call('HGET', KEYS[1], ARGV[3]) ~= ARGV[4] then return 0 end
redis.call('HSET', key('lane-ends'), ARGV[3], whole(clock(ARGV[2]) + tonumber(ARGV[5])))
return 1
`;

/** Jobs that nobody drives. */
export const readStranded = `
-- Purpose: reads the jobs in lanes that nobody has held for some time. There are as many jobs in lanes as lanes.
-- KEYS[1]: the hash of lanes by job.
-- ARGV: 1 prefix, 2 time or '', 3 that time in milliseconds.
-- Returns: {state, request, …}.
${NAMES}${CLOCK}${READ}
local limit = clock(ARGV[2]) - tonumber(ARGV[3])
local found = {}
local held = redis.call('HGETALL', KEYS[1])
for n = 1, #held, 2 do
  if tonumber(redis.call('HGET', key('lane-ends'), held[n + 1]) or '0') < limit then read(found, held[n]) end
end
return found
`;
