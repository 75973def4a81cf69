import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Job, JobStatus } from '../src/jobs/job.ts';
import type { Ledger } from '../src/jobs/ports.ts';
import {
  atMost,
  type Bench,
  type BenchContext,
  type Findings,
  judged,
  overRuns,
  row,
} from './support/measurement.ts';
import type { ServerProcess } from './support/processes.ts';
import { fillWithFinished } from './support/rest/fill.ts';
import { startOn, withFolder } from './support/rest/folder.ts';
import { openLedger } from './support/rest/ledger.ts';
import { picture } from './support/rig.ts';
import { percentile } from './support/statistics.ts';

interface Extent {
  /** Finished jobs of each ledger, the smallest first. */
  readonly sizes: readonly number[];
  /** Requests of a kind, in each size. */
  readonly warmUp: number;
  readonly asked: number;
}

const FULL: Extent = { sizes: [1_000, 10_000, 100_000, 1_000_000], warmUp: 50, asked: 200 };
const SHORT: Extent = { sizes: [1_000, 100_000], warmUp: 15, asked: 30 };
/** The sizes that the ratios compare with the smallest. */
const LARGE: readonly number[] = [100_000, 1_000_000];
const PAGE = `query ($after: String, $status: [EditJobStatus!]) {
  jobs(first: 20, after: $after, status: $status) { nodes { id status progress createdAt } pageInfo { endCursor } }
}`;
const FIRST_PAGE = 'jobs, first page';
const BY_STATUS = 'jobs, by status';
const STATUS = 'REST /status';
const SUBMIT = 'submit';
/** The number of jobs before the deep page, the same for every size of the ledger. */
const DEEP = 500;

export const bench: Bench = {
  title: 'What a large ledger costs',
  about:
    `Pages of jobs, the status of jobs that were not read before, submits, the claim of the next job and the start with ` +
    `${FULL.sizes.join(', ')} finished jobs in the SQLite file, medians of requests one after another. Gateway and client are ` +
    'processes of their own; lists by owner and claims (a job is taken and put back) are asked of the ledger itself.',
  runs: 1,
  measure: context => measure(context, FULL),
  guard: {
    measure: context => measure(context, SHORT),
    figures: [FIRST_PAGE, BY_STATUS, STATUS, SUBMIT].map(name => ({
      name: ratioOf(name, 100_000, 1_000),
      better: 'lower',
      noise: 0.4,
    })),
  },
};

async function measure(context: BenchContext, extent: Extent): Promise<Findings> {
  const { sizes } = extent;
  const runs = await overRuns(context, () => withFolder(root => measureOnce(root, extent)));
  const smallest = sizes[0] ?? 0;
  const names = [...new Set(runs.flatMap(run => run.map(({ name }) => name)))];
  const samplesOf = (name: string, size: number): number[] =>
    runs.flatMap(run => run.filter(one => one.name === name && one.size === size).map(({ ms }) => ms));
  const rowOf = (name: string, size: number) => row(`${name}, ${size} jobs`, 'ms', samplesOf(name, size));
  const median = (name: string, size: number): number => percentile(samplesOf(name, size), 0.5);
  return {
    rows: names.flatMap(name => sizes.map(size => rowOf(name, size))),
    ratios: LARGE.filter(size => sizes.includes(size)).flatMap(size =>
      names.map(name =>
        judged(
          ratioOf(name, size, smallest),
          median(name, size) / median(name, smallest),
          size === 100_000 ? atMost(2) : null,
        ),
      ),
    ),
    plots: [
      {
        file: 'ledger-size',
        title: 'Time of a request by the size of the ledger',
        x: { label: 'finished jobs in the ledger', scale: 'log' },
        y: { label: 'milliseconds, median', scale: 'linear' },
        series: [STATUS, FIRST_PAGE, BY_STATUS, SUBMIT].map(name => ({
          name,
          points: sizes.map(size => ({ x: size, y: median(name, size) })),
        })),
      },
    ],
  };
}

function ratioOf(name: string, large: number, small: number): string {
  return `${name}: ${large} over ${small}`;
}

interface Found {
  readonly name: string;
  readonly size: number;
  readonly ms: number;
}

/** Opens all sizes together and measures them in turn, so that each gets the same load of the machine. */
async function measureOnce(root: string, extent: Extent): Promise<Found[]> {
  const { sizes, warmUp, asked } = extent;
  const folders: string[] = [];
  const ids: (readonly string[])[] = [];
  for (const size of sizes) {
    const folder = join(root, String(size));
    await mkdir(folder);
    ids.push(fillWithFinished(folder, size, warmUp + asked));
    folders.push(folder);
  }
  const found = await askLedgers(folders, extent);
  // Builds what is older than its sources, and fills the cache of compiled code.
  await withFolder(async folder => (await startOn(folder)).stop());
  const gateways: ServerProcess[] = [];
  try {
    for (const [index, folder] of folders.entries()) {
      const begun = performance.now();
      gateways.push(await startOn(folder, { MAX_QUEUE: '1000000' }));
      found.push({ name: 'start', size: sizes[index] ?? 0, ms: performance.now() - begun });
    }
    const answered = await askGateways(
      gateways.map(({ url }) => url),
      ids,
      extent,
    );
    return [...found, ...answered];
  } finally {
    await Promise.all(gateways.map(gateway => gateway.stop()));
  }
}

/** `ids`: of jobs of each gateway. */
async function askGateways(
  urls: readonly string[],
  ids: readonly (readonly string[])[],
  extent: Extent,
): Promise<Found[]> {
  const cursors = await Promise.all(urls.map(deepCursor));
  const edit = JSON.stringify({ image1_url: await picture(), prompt: 'a small edit' });
  return [
    ...(await inTurn(
      extent,
      FIRST_PAGE,
      urls.map(url => () => page(url, {})),
    )),
    ...(await inTurn(
      extent,
      'jobs, deep page',
      urls.map((url, index) => () => page(url, { after: cursors[index] })),
    )),
    ...(await inTurn(
      extent,
      BY_STATUS,
      urls.map(url => () => page(url, { status: ['ERROR'] satisfies JobStatus[] })),
    )),
    ...(await inTurn(
      extent,
      'REST /jobs',
      urls.map(url => () => get(`${url}/jobs`)),
    )),
    ...(await inTurn(
      extent,
      STATUS,
      urls.map((url, index) => {
        const left = [...(ids[index] ?? [])];
        return () => get(`${url}/status/${left.pop()}`);
      }),
    )),
    // Last: the jobs that it adds are in the lists.
    ...(await inTurn(
      extent,
      SUBMIT,
      urls.map(url => () => post(`${url}/edit-image`, edit)),
    )),
  ];
}

async function askLedgers(folders: readonly string[], extent: Extent): Promise<Found[]> {
  const ledgers = folders.map(openLedger);
  const owned = { owner: 'key:1', statuses: null, first: 20, after: null };
  const failed = { ...owned, statuses: ['ERROR'] satisfies JobStatus[] };
  const found = [
    ...(await inTurn(
      extent,
      'ledger, list by owner',
      ledgers.map(ledger => () => ledger.list(owned)),
    )),
    ...(await inTurn(
      extent,
      'ledger, list by owner and status',
      ledgers.map(ledger => () => ledger.list(failed)),
    )),
    ...(await inTurn(
      extent,
      'ledger, claim of the next job',
      ledgers.map(ledger => () => claim(ledger)),
    )),
  ];
  await Promise.all(ledgers.map(ledger => ledger.close()));
  return found;
}

/** Takes the next job and puts it back, so that the length of the queue stays the same. */
async function claim(ledger: Ledger): Promise<void> {
  const [job] = await ledger.waiting(1);
  if (job === undefined) throw new Error('nothing waits');
  const taken: Job = { ...job, status: 'PROCESSING', lane: 'e#0', revision: job.revision + 1 };
  await ledger.commit(taken, job.revision, null, []);
  await ledger.commit({ ...job, revision: job.revision + 2 }, job.revision + 1, null, []);
}

/** Where the page after the newest DEEP jobs begins. */
async function deepCursor(url: string): Promise<string> {
  let cursor = await page(url, {});
  for (let n = 20; n < DEEP; n += 20) cursor = await page(url, { after: cursor });
  return cursor;
}

async function page(url: string, variables: Record<string, unknown>): Promise<string> {
  const text = await post(`${url}/graphql`, JSON.stringify({ query: PAGE, variables }));
  const { data }: { data: { jobs: { pageInfo: { endCursor: string } } } } = JSON.parse(text);
  return data.jobs.pageInfo.endCursor;
}

async function get(url: string): Promise<string> {
  return textOf(await fetch(url));
}

async function post(url: string, body: string): Promise<string> {
  return textOf(await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body }));
}

async function textOf(answer: Response): Promise<string> {
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.url} answered ${answer.status}: ${text}`);
  return text;
}

/** The medians of work that is measured in turn, in the order of the sizes. */
async function inTurn(
  { sizes, warmUp, asked }: Extent,
  name: string,
  work: readonly (() => Promise<unknown>)[],
): Promise<Found[]> {
  const samples = work.map((): number[] => []);
  for (let n = -warmUp; n < asked; n += 1) {
    for (const [index, one] of work.entries()) {
      const begun = performance.now();
      await one();
      if (n >= 0) samples[index]?.push(performance.now() - begun);
    }
  }
  return samples.map((found, index) => ({ name, size: sizes[index] ?? 0, ms: percentile(found, 0.5) }));
}
