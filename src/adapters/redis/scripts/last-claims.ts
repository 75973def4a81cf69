/**
 * Notes which workflow an engine had its last claim of, and publishes it when that changed. `last-claims` is a hash by engine:
 * '<mark> <workflow>'. Needs NAMES, CLOCK and `announcing`.
 */
export const TOOK = `
-- A gateway that knows of no models on the engine may have seen it restarted: others have to learn that it has some again.
local function took(engine, workflow, fresh)
  local known = redis.call('HGET', key('last-claims'), engine)
  local mark, name = string.match(known or '', '^(%d+) (.*)$')
  if name == workflow and not fresh then return end
  local entry = whole(math.max(tonumber(mark or '0') + 1, clock('')))
  redis.call('HSET', key('last-claims'), engine, entry .. ' ' .. workflow)
  announce('last-claims', entry .. ' ' .. engine .. ' ' .. workflow)
end
`;

/** Removes the last claim of an engine. */
export const forgetClaim = `
-- Purpose: removes the last claim of an engine, unless it has another mark.
-- KEYS[1]: hash of last claims by engine, as '<mark> <workflow>'.
-- ARGV: 1 engine, 2 mark.
-- Returns: 1, or 0 when there is another one or none.
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or string.match(known, '^%d+') ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
`;
