import { finishOneJob, load, startOurs, startPeer } from './support/http/servers.ts';
import {
  atLeast,
  type Bench,
  type BenchContext,
  type Findings,
  judged,
  overRuns,
  ratio,
  rowOf,
} from './support/measurement.ts';
import type { ServerProcess } from './support/processes.ts';

const CONNECTIONS = 50;
const FULL: Extent = { warmUpSeconds: 3, seconds: 6 };
const SHORT: Extent = { warmUpSeconds: 2, seconds: 2 };
const UNIT = 'requests/s';
const OVER_MEMORY = 'gateway over Mercurius with JIT and the job in memory';
const CPU_OVER_MEMORY = `CPU of a request: ${OVER_MEMORY}`;
const CPU_UNIT = 'µs of CPU';
const QUERY =
  'query ($id: ID!) { job(id: $id) { id status revision progress stage step totalSteps etaSeconds createdAt } }';

export const bench: Bench = {
  title: 'GraphQL over HTTP: requests a second for one query of a job',
  about:
    `POST with variables on ${CONNECTIONS} connections that stay open; load and servers are processes of their own. ` +
    'The gateway runs as it is deployed, all guards on. The peers have none, and read the same record at each request ' +
    'from a copy of its SQLite file, where they do not say otherwise.',
  runs: 3,
  measure,
  guard: {
    measure: guard,
    figures: [
      { name: OVER_MEMORY, better: 'higher', noise: 0.2 },
      { name: CPU_OVER_MEMORY, better: 'lower', noise: 0.2 },
    ],
  },
};

/** Of each server. */
interface Extent {
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

async function guard(context: BenchContext): Promise<Findings> {
  const job = await finishOneJob();
  try {
    const peer = startPeer('mercurius-jit-memory', job);
    const theirs = await measureOne(context, 'Mercurius', job.id, peer, '', SHORT);
    const ours = await measureOne(context, 'gateway', job.id, startOurs(job.dataDir), '/graphql', SHORT);
    return {
      rows: [],
      ratios: [
        judged(OVER_MEMORY, ours.requestsPerSecond / theirs.requestsPerSecond),
        judged(CPU_OVER_MEMORY, ours.cpuMicros / theirs.cpuMicros),
      ],
    };
  } finally {
    await job.remove();
  }
}

async function measure(context: BenchContext): Promise<Findings> {
  const job = await finishOneJob();
  const peer = (kind: string) => measureOne(context, kind, job.id, startPeer(kind, job));
  try {
    // The gateway runs between the two servers that it is mostly compared with.
    const runs = await overRuns(context, async () => ({
      plain: await peer('plain'),
      mercurius: await peer('mercurius'),
      jit: await peer('mercurius-jit'),
      ours: await measureOne(context, 'gateway', job.id, startOurs(job.dataDir), '/graphql'),
      inMemory: await peer('mercurius-jit-memory'),
      yoga: await peer('yoga'),
    }));
    const figuresOf = (name: string, pick: (run: (typeof runs)[number]) => Figures) => ({
      rate: rowOf(runs, name, UNIT, run => pick(run).requestsPerSecond),
      cpu: rowOf(runs, `${name}, a request`, CPU_UNIT, run => pick(run).cpuMicros),
    });
    const ours = figuresOf('gateway', run => run.ours);
    const jit = figuresOf('Mercurius, JIT', run => run.jit);
    const inMemory = figuresOf('Mercurius, JIT, job in memory', run => run.inMemory);
    const yoga = figuresOf('Yoga on node:http', run => run.yoga);
    const mercurius = figuresOf('Mercurius', run => run.mercurius);
    const plain = figuresOf('node:http, a constant as JSON', run => run.plain);
    const all = [plain, inMemory, jit, mercurius, yoga, ours];
    return {
      rows: [...all.map(({ rate }) => rate), ...all.map(({ cpu }) => cpu)],
      ratios: [
        ratio('gateway over Mercurius with JIT', ours.rate, jit.rate, atLeast(1)),
        ratio(OVER_MEMORY, ours.rate, inMemory.rate, atLeast(1.3)),
        ratio('gateway over Yoga on node:http', ours.rate, yoga.rate),
        // Steadier than the rate on a busy machine.
        ratio('CPU of a request: gateway over Mercurius with JIT', ours.cpu, jit.cpu),
        ratio(CPU_OVER_MEMORY, ours.cpu, inMemory.cpu),
      ],
    };
  } finally {
    await job.remove();
  }
}

/** What a server did. */
interface Figures {
  readonly requestsPerSecond: number;
  /** CPU time of its process, user and system, per request. */
  readonly cpuMicros: number;
}

/** The figures of one server, which is stopped afterwards. Throws when it answers anything but the job. */
async function measureOne(
  { note }: BenchContext,
  name: string,
  id: string,
  starting: Promise<ServerProcess>,
  path = '',
  { warmUpSeconds, seconds } = FULL,
): Promise<Figures> {
  const server = await starting;
  try {
    const order = { url: `${server.url}${path}`, body: bodyFor(id), connections: CONNECTIONS };
    await expectJob(order.url, order.body, id);
    await load({ ...order, seconds: warmUpSeconds });
    const before = await server.cpuSeconds();
    const { requestsPerSecond, p50, p99, failed } = await load({ ...order, seconds });
    const cpu = (await server.cpuSeconds()) - before;
    if (failed > 0) throw new Error(`${name}: ${failed} requests failed`);
    const cpuMicros = (cpu / (requestsPerSecond * seconds)) * 1e6;
    note(`${name}: ${requestsPerSecond} ${UNIT}, p50 ${p50} ms, p99 ${p99} ms`);
    return { requestsPerSecond, cpuMicros };
  } finally {
    await server.stop();
  }
}

function bodyFor(id: string): string {
  return JSON.stringify({ query: QUERY, variables: { id } });
}

async function expectJob(url: string, body: string, id: string): Promise<void> {
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const text = await answer.text();
  const { data } = JSON.parse(text);
  if (data?.job?.id !== id || data.job.status !== 'COMPLETED') throw new Error(`${url} answers ${text}`);
}
