import { advance } from '../../jobs/advance.ts';
import { type ClaimRequest, type ClaimResult, claimedBy } from '../../jobs/claims.ts';
import type { Clock, KeptLanes, Ledger } from '../../jobs/ports.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asIdleLanes, asJob, asList, asNumber, asPresentJobs, reach, unexpected } from './replies.ts';

export interface RedisLanesOptions {
  readonly client: Client;
  readonly keys: Keys;
  /** Null uses the clock of Redis, so that gateways with different clocks agree on leases. */
  readonly now: Clock | null;
  /** The id of this process, which claims under it. */
  readonly gateway: string;
}

/** Lanes, their leases and the jobs in them, for the ledger. */
export function createRedisLanes({
  client,
  keys,
  now,
  gateway,
}: RedisLanesOptions): Pick<
  Ledger,
  'claim' | 'keepLanes' | 'releaseLane' | 'inLanes' | 'idleElsewhere' | 'stranded'
> {
  const { prefix } = keys;
  const laneTokens = `${prefix}:lane-tokens`;
  const time = (): string => (now === null ? '' : String(now()));

  return {
    async claim(request) {
      const reply = asList(await reach(client.qeClaim(keys.queue, prefix, gateway, encodeClaim(request))));
      const [againAt, left, blocked, occupied, ...taken] = reply;
      const claimed: ClaimResult['claimed'][number][] = [];
      for (let n = 0; n < taken.length; n += 3) {
        const lane = request.lanes[asNumber(taken[n]) - 1];
        const before = asJob(taken[n + 1], taken[n + 2]);
        if (lane === undefined || before === null) throw unexpected(reply);
        claimed.push({ lane: lane.lease.lane, before, job: advance(before, claimedBy(lane, request.at)) });
      }
      return {
        claimed,
        againAt: againAt === '' ? null : Number(againAt),
        more: left === 1,
        blocked: blocked === 1,
        occupied: asList(occupied).map(String),
      };
    },
    async keepLanes(held, wanted, ttlMs) {
      const leases = held.flatMap(({ lane, token }) => [lane, token]);
      const reply = await reach(
        client.qeKeepLanes(laneTokens, prefix, time(), ttlMs, held.length, ...leases, ...wanted),
      );
      const [lost, ...entries] = asList(reply);
      const taken: KeptLanes['taken'][number][] = [];
      for (let n = 0; n < entries.length; n += 4) {
        const [lane, token, state, request] = entries.slice(n, n + 4);
        taken.push({ lease: { lane: String(lane), token: asNumber(token) }, job: asJob(state, request) });
      }
      return { lost: asList(lost).map(String), taken };
    },
    async releaseLane({ lane, token }) {
      await reach(client.qeReleaseLane(laneTokens, prefix, time(), lane, token));
    },
    async inLanes(lanes) {
      return asPresentJobs(await reach(client.qeReadLanes(`${prefix}:held`, prefix, lanes)));
    },
    async idleElsewhere() {
      const parked = await reach(client.hgetall(`${prefix}:parked`));
      const others = Object.entries(parked).filter(([name]) => name !== gateway);
      return others.flatMap(([, groups]) => asIdleLanes(groups)).filter(({ engines }) => engines > 0);
    },
    async stranded(graceMs) {
      const reply = await reach(client.qeReadStranded(`${prefix}:held`, prefix, time(), graceMs));
      return asPresentJobs(reply);
    },
  };
}

/** As the script takes it. */
function encodeClaim({ lanes, running = {}, ...request }: ClaimRequest): string {
  return JSON.stringify({
    ...request,
    running,
    lanes: lanes.map(({ lease, ...lane }) => ({ ...lease, ...lane })),
  });
}
