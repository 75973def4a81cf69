/** Takes one from a budget. */
export const takeRate = `
-- Purpose: the generic cell rate algorithm (ITU-T I.371) by Redis' own clock, so that all gateways count as one. What is
--   kept is the time at which the budget is full again; it goes when that has come. A refusal costs nothing.
-- KEYS[1]: that time, in microseconds since 1970: below 2^53, so whole numbers stay exact.
-- ARGV: 1 microseconds that one takes to come back, 2 microseconds of the whole budget.
-- Returns: {1, microseconds of the budget that are left}, or {0, microseconds until one is there}.
local time = redis.call('TIME')
local at = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, budget = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), at) + interval
local used = after - at
if used > budget then return { 0, used - budget } end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', math.ceil(used / 1000)))
return { 1, budget - used }
`;
