import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from './support/http/servers.ts';
import {
  atLeast,
  type Bench,
  type BenchContext,
  type Findings,
  judged,
  overRuns,
  ratio,
  row,
} from './support/measurement.ts';
import { startServer } from './support/processes.ts';
import { startOn, withFolder } from './support/rest/folder.ts';
import { openLedger } from './support/rest/ledger.ts';
import { plainPng } from './support/rest/png.ts';

const CONNECTIONS = 50;
const PEER = new URL('support/rest/plain-server.ts', import.meta.url);
/** More pictures than are submitted in one run, so that none is used twice. */
const FULL = { warmUpSeconds: 2, seconds: 6, pictures: 40_000 };
const SHORT: Extent = { warmUpSeconds: 1, seconds: 2, pictures: 16_000 };
const EDIT =
  'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id } ... on EditError { message } } }';

export const bench: Bench = {
  title: 'editImage: submits a second, each on the disk before it is answered',
  about:
    `POST on ${CONNECTIONS} connections that stay open, each with a picture of 64 × 64 as a data URI, which is checked and ` +
    'stored with its record in SQLite and flushed. Nothing takes the jobs from the queue. Gateway and load are processes of ' +
    'their own; afterwards the gateway is killed and the jobs are counted. The peer is bare node:http, which writes the ' +
    'picture into a file and flushes it, and neither checks it nor has a record.',
  runs: 3,
  measure: context => measure(context, FULL),
  // Requests a second are those of a machine and its disk, so the guard allows them more.
  guard: {
    measure: context => measure(context, SHORT),
    figures: [
      { name: 'one picture: submits a second', better: 'higher', noise: 0.4 },
      { name: 'another picture each time: submits a second', better: 'higher', noise: 0.4 },
      { name: 'one picture: CPU of the gateway', better: 'lower', noise: 0.3 },
      { name: 'another picture each time: CPU of the gateway', better: 'lower', noise: 0.3 },
    ],
  },
};

/** Of each kind. */
type Extent = typeof FULL;

async function measure(context: BenchContext, extent: Extent): Promise<Findings> {
  const pictures = Array.from({ length: extent.pictures }, (_, colour) => plainPng(64, colour));
  const [first] = pictures;
  if (first === undefined) throw new Error('no picture');
  const kinds = [
    { name: 'one picture', bodies: [bodyOf(first)] },
    { name: 'another picture each time', bodies: pictures.map(bodyOf) },
  ];
  // Delete nothing before the end: for minutes after a deletion, ext4 searches the inodes of deleted files for a
  // place for each new one (`recently_deleted` in Linux' `fs/ext4/ialloc.c`), which takes twenty times as long as making it.
  const runs = await withFolder(folder =>
    overRuns(context, async () => {
      const found: Measured[] = [];
      for (const { bodies } of kinds)
        found.push(await measureOnce(await mkdtemp(join(folder, 'data-')), bodies, extent));
      const peer = await measurePeer(await mkdtemp(join(folder, 'peer-')), pictures.map(bodyOf), extent);
      return { found, peer };
    }),
  );
  const rowsOf = (what: string, unit: string, pick: (run: Measured) => number) =>
    kinds.map(({ name }, kind) =>
      row(`${name}: ${what}`, unit, runs.flatMap(({ found }) => found.slice(kind, kind + 1)).map(pick)),
    );
  const submits = rowsOf('submits', 'submits/s', run => run.perSecond);
  const lost = runs.flatMap(({ found }) => found).reduce((sum, run) => sum + run.lost, 0);
  const peerOf = (what: string, unit: string, pick: (run: PeerMeasured) => number) =>
    row(
      `bare node:http, ${what}`,
      unit,
      runs.map(({ peer }) => pick(peer)),
    );
  const bare = peerOf('submits', 'submits/s', run => run.perSecond);
  return {
    rows: [
      ...submits,
      ...rowsOf('answer, p99', 'ms', run => run.p99),
      ...rowsOf('CPU of the gateway', 'ms', run => run.cpuMs),
      bare,
      peerOf('CPU', 'ms', run => run.cpuMs),
    ],
    ratios: [
      ...submits.map(({ name, median }) => judged(`${name} a second`, median, atLeast(2_000))),
      ...submits.map(ours => ratio(`${ours.name} over bare node:http`, ours, bare)),
      judged('answered and not there after a kill', lost, { relation: '<=', value: 0 }),
    ],
  };
}

function bodyOf(png: Buffer): string {
  const input = {
    images: [{ dataUri: `data:image/png;base64,${png.toString('base64')}` }],
    prompt: 'a small edit',
  };
  return JSON.stringify({ query: EDIT, variables: { input } });
}

interface PeerMeasured {
  readonly perSecond: number;
  readonly cpuMs: number;
}

interface Measured extends PeerMeasured {
  readonly p99: number;
  /** Jobs that were acknowledged but are not in the ledger. */
  readonly lost: number;
}

async function measurePeer(
  folder: string,
  bodies: readonly string[],
  { warmUpSeconds, seconds }: Extent,
): Promise<PeerMeasured> {
  const peer = await startServer(PEER, { args: ['submit', folder] });
  const order = { url: peer.url, body: bodies, connections: CONNECTIONS };
  try {
    await load({ ...order, seconds: warmUpSeconds });
    const before = await peer.cpuSeconds();
    const { requestsPerSecond, failed } = await load({ ...order, seconds });
    if (failed > 0) throw new Error(`${failed} requests of the peer failed`);
    const spent = (await peer.cpuSeconds()) - before;
    return { perSecond: requestsPerSecond, cpuMs: (spent * 1_000) / (requestsPerSecond * seconds) };
  } finally {
    await peer.stop();
  }
}

async function measureOnce(
  dataDir: string,
  bodies: readonly string[],
  { warmUpSeconds, seconds }: Extent,
): Promise<Measured> {
  const gateway = await startOn(dataDir, { MAX_QUEUE: '1000000', LOG_LEVEL: 'silent' });
  const order = { url: `${gateway.url}/graphql`, body: bodies, connections: CONNECTIONS };
  let answered = 0;
  try {
    const warm = await load({ ...order, seconds: warmUpSeconds });
    const before = await gateway.cpuSeconds();
    const result = await load({ ...order, seconds });
    const spent = (await gateway.cpuSeconds()) - before;
    if (warm.failed + result.failed > 0) throw new Error(`${result.failed} submits failed`);
    const submits = result.requestsPerSecond * seconds;
    answered = warm.requestsPerSecond * warmUpSeconds + submits;
    return {
      perSecond: result.requestsPerSecond,
      p99: result.p99,
      cpuMs: (spent * 1_000) / submits,
      lost: Math.max(0, Math.floor(answered) - (await countAfterKill())),
    };
  } finally {
    gateway.child.kill('SIGKILL');
  }

  async function countAfterKill(): Promise<number> {
    const gone = new Promise(resolve => gateway.child.once('exit', resolve));
    gateway.child.kill('SIGKILL');
    await gone;
    const ledger = openLedger(dataDir);
    const { waiting } = await ledger.count();
    await ledger.close();
    return waiting;
  }
}
