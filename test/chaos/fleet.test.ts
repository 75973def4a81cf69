import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { z } from 'zod';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { fleetOf } from '../support/fleet.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { createRandom, type Random } from '../support/random.ts';
import { as, fetchJson, postJson, submit, type Target } from '../support/requests.ts';
import { startRedis } from '../support/stores/redis.ts';
import { waitForEnd } from '../support/watch.ts';

/** `CHAOS_SEED=… CHAOS_JOBS=3000 npx vitest run test/chaos/fleet.test.ts` replays the choices of a run with more jobs. */
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const JOBS = Number(process.env.CHAOS_JOBS ?? 60);
const GATEWAYS = 3;
const ENGINES = 5;
const SUBMITTERS = 4;
const KEY = 'qee_chaos';
/** How long a gateway may take to notice a drain, in milliseconds. */
const NOTICE_MS = 1_000;

const closers: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

/** An engine of the chaos, in the fleet or not. Its process lives until the end. */
interface Player {
  readonly engine: TestEngine;
  readonly id: string;
  /** How it came; null: it is not in the fleet. */
  by: 'operator' | 'registration' | null;
  /** When it was drained, while it is. Milliseconds since 1970. */
  drainedAt: number | null;
}

interface Drain {
  readonly engine: string;
  readonly from: number;
  readonly to: number;
}

it(`seed ${seed}: ${JOBS} jobs under ${GATEWAYS} gateways while engines join, leave, die and come back: none is lost, stuck or run twice, and drains hold`, async () => {
  const random = createRandom(seed);
  const redis = await startRedis({ aof: true });
  closers.push(() => redis.stop());
  const images = await startImageServer();
  closers.push(() => images.close());
  const dataDir = await mkdtemp(join(tmpdir(), 'chaos-fleet-'));
  closers.push(() => rm(dataDir, { recursive: true, force: true }));
  const players = await Promise.all(
    Array.from({ length: ENGINES }, async (): Promise<Player> => {
      const engine = await startTestEngine({ stepMs: 5 });
      closers.push(() => engine.stop());
      return { engine, id: new URL(engine.url).host, by: null, drainedAt: null };
    }),
  );
  const gateways: GatewayProcess[] = [];
  closers.push(() => Promise.all(gateways.map(gateway => gateway.end('SIGKILL'))));
  for (let n = 0; n < GATEWAYS; n += 1) {
    const settings = {
      REDIS_URL: redis.url,
      LEASE: '2s',
      ENGINE_ALLOW: '127.0.0.1',
      ENGINE_KEYS: `chaos:sha256$${createHash('sha256').update(KEY).digest('hex')}`,
      ENGINE_GRACE: '2s',
      ENGINE_PROBE: '300ms',
      WATCHDOG: '150ms',
      MAX_QUEUE: String(JOBS + SUBMITTERS),
    };
    gateways.push(await startGatewayProcess(dataDir, settings));
  }
  const urls = gateways.map(({ url }) => url);

  const ids: string[] = [];
  const over = new AbortController();
  const drains: Drain[] = [];
  const playing = play(players, urls, random, drains, over.signal);
  const submitter = async (): Promise<void> => {
    while (ids.length < JOBS) {
      const target: Target = { url: random.pick(urls), images };
      const id = await submit(target, { steps: random.integer(1, 20) });
      ids.push(id);
      await delay(random.integer(0, 40));
    }
  };
  await Promise.all(Array.from({ length: SUBMITTERS }, submitter));
  over.abort();
  const deaths = await playing;
  // Some engine has to run the rest.
  await settle(players, urls, drains);
  await judge(urls, ids, players, drains, deaths);
}, 1_200_000);

/** Does one thing after another to the fleet until the signal. Returns how often an engine died. */
async function play(
  players: readonly Player[],
  urls: readonly string[],
  random: Random,
  drains: Drain[],
  signal: AbortSignal,
): Promise<number> {
  let deaths = 0;
  while (!signal.aborted) {
    const player = random.pick(players);
    const fleet = fleetOf(random.pick(urls));
    const { engine, id } = player;
    const turn = random.integer(0, 9);
    if (player.by === null) {
      player.by = turn < 5 ? 'operator' : 'registration';
      if (player.by === 'operator') await fleet.add(engine.url);
      else await register(random.pick(urls), engine);
    } else if (turn < 2) {
      undrained(player, drains);
      if (player.by === 'operator') await fleet.remove(id);
      else await signOff(random.pick(urls), id);
      player.by = null;
    } else if (turn < 4) {
      deaths += 1;
      await engine.fault({ restart: true, restartMs: 300 });
    } else if (turn < 7 && player.drainedAt === null) {
      await fleet.drain(id, true, 'chaos');
      player.drainedAt = Date.now();
    } else if (player.drainedAt !== null) {
      undrained(player, drains);
      await fleet.drain(id, false);
    } else if (player.by === 'registration') {
      await register(random.pick(urls), engine);
    }
    await delay(random.integer(50, 300), undefined, { signal }).catch(() => undefined);
  }
  return deaths;
}

/** Its drain ends now. */
function undrained(player: Player, drains: Drain[]): void {
  if (player.drainedAt !== null) drains.push({ engine: player.id, from: player.drainedAt, to: Date.now() });
  player.drainedAt = null;
}

/** An engine that an operator removed may not register; then the operator adds it. */
async function register(url: string, { url: engine }: TestEngine): Promise<void> {
  const { status } = await postJson(`${url}/engines`, { url: engine, ttl_seconds: 10 }, as(KEY));
  if (status === 409) await fleetOf(url).add(engine);
}

async function signOff(url: string, id: string): Promise<void> {
  const path = `${url}/engines/${encodeURIComponent(id)}`;
  const { status } = await fetchJson(path, { method: 'DELETE', headers: as(KEY) });
  // It has expired, or an operator has added it.
  if (status === 404) await fleetOf(url).remove(id);
}

async function settle(players: readonly Player[], urls: readonly string[], drains: Drain[]): Promise<void> {
  const fleet = fleetOf(urls[0] ?? '');
  for (const player of players) {
    undrained(player, drains);
    await fleet.add(player.engine.url);
    await fleet.drain(player.id, false);
  }
}

const events = z.object({
  attempt: z.number(),
  events: z.array(z.object({ at: z.string(), event: z.string(), detail: z.string().nullable() })),
});

async function judge(
  urls: readonly string[],
  ids: readonly string[],
  players: readonly Player[],
  drains: readonly Drain[],
  deaths: number,
): Promise<void> {
  const [url = ''] = urls;
  const states = new Map<string, number>();
  let handedBack = 0;
  let lost = 0;
  for (const id of ids) {
    const { status, error } = await waitForEnd(url, id);
    states.set(status, (states.get(status) ?? 0) + 1);
    // Repeated deaths of its engines may use its attempts up.
    if (status === 'ERROR') expect(error).toMatchObject({ code: 'ENGINE_LOST' });
    const seen = events.parse((await fetchJson(`${url}/debug/job/${id}`)).body);
    const names = seen.events.map(({ event }) => event);
    handedBack += names.filter(name => name === 'handedBack').length;
    const losses = names.filter(name => name === 'engineLost').length;
    lost += losses;
    expect(seen.attempt, `runs of ${id}`).toBeLessThanOrEqual(losses + 1);
    for (const { at, event, detail } of seen.events) {
      if (event !== 'claimed') continue;
      const time = Date.parse(at);
      const broken = drains.filter(
        drain => drain.engine === detail && time > drain.from + NOTICE_MS && time < drain.to,
      );
      expect(broken, `claims of drained engines by ${id}`).toEqual([]);
    }
  }
  const executed = (await Promise.all(players.map(({ engine }) => engine.stats()))).map(
    stats => stats.executed,
  );
  const times = executed.flatMap(Object.values);
  console.log(
    `seed ${seed}: ${JSON.stringify(Object.fromEntries(states))}, ${times.length} executions, ${lost} lost, ${handedBack} handed back, ${deaths} deaths, ${drains.length} drains`,
  );
  expect(times.filter(each => each !== 1)).toEqual([]);
  const completed = states.get('COMPLETED') ?? 0;
  expect(completed + (states.get('ERROR') ?? 0)).toBe(ids.length);
  // What ran more than once was lost before.
  expect(times.length).toBeLessThanOrEqual(ids.length + lost);
  expect(completed).toBeGreaterThan(ids.length * 0.8);
}
