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
import { percentile } from './support/statistics.ts';

const SIZES = [1_000, 10_000, 100_000] as const;
const ASKED = 200;
const WARM_UP = 50;
const PAGE = `query ($after: String, $status: [EditJobStatus!]) {
  jobs(first: 20, after: $after, status: $status) { nodes { id status progress createdAt } pageInfo { endCursor } }
}`;
/** The number of jobs before the deep page, the same for every size of the ledger. */
const DEEP = 500;

export const bench: Bench = {
  title: 'What a large ledger costs',
  about:
    `Pages of jobs, the claim of the next job and the start with ${SIZES.join(', ')} finished jobs in the SQLite file, ` +
    'medians of requests one after another. Gateway and client are processes of their own; lists by owner and claims ' +
    '(a job is taken and put back) are asked of the ledger itself.',
  runs: 1,
  measure,
};

async function measure(context: BenchContext): Promise<Findings> {
  const runs = await overRuns(context, () => withFolder(measureOnce));
  const [smallest, , largest] = SIZES;
  const names = [...new Set(runs.flatMap(run => run.map(({ name }) => name)))];
  const samplesOf = (name: string, size: number): number[] =>
    runs.flatMap(run => run.filter(one => one.name === name && one.size === size).map(({ ms }) => ms));
  const rowOf = (name: string, size: number) => row(`${name}, ${size} jobs`, 'ms', samplesOf(name, size));
  const median = (name: string, size: number): number => percentile(samplesOf(name, size), 0.5);
  return {
    rows: names.flatMap(name => SIZES.map(size => rowOf(name, size))),
    ratios: names.map(name =>
      judged(
        `${name}: ${largest} over ${smallest}`,
        median(name, largest) / median(name, smallest),
        atMost(2),
      ),
    ),
    plots: [
      {
        file: 'ledger-size',
        title: 'A page of jobs by the size of the ledger',
        x: { label: 'finished jobs in the ledger', scale: 'log' },
        y: { label: 'milliseconds, median', scale: 'linear' },
        series: names
          .filter(name => name.startsWith('jobs'))
          .map(name => ({ name, points: SIZES.map(size => ({ x: size, y: median(name, size) })) })),
      },
    ],
  };
}

interface Found {
  readonly name: string;
  readonly size: number;
  readonly ms: number;
}

/** Opens all sizes together and measures them in turn, so that each gets the same load of the machine. */
async function measureOnce(root: string): Promise<Found[]> {
  const folders: string[] = [];
  for (const size of SIZES) {
    const folder = join(root, String(size));
    await mkdir(folder);
    fillWithFinished(folder, size);
    folders.push(folder);
  }
  const found = await askLedgers(folders);
  const gateways: ServerProcess[] = [];
  try {
    for (const [index, folder] of folders.entries()) {
      const begun = performance.now();
      gateways.push(await startOn(folder));
      found.push({ name: 'start', size: SIZES[index] ?? 0, ms: performance.now() - begun });
    }
    return [...found, ...(await askGateways(gateways.map(({ url }) => url)))];
  } finally {
    await Promise.all(gateways.map(gateway => gateway.stop()));
  }
}

async function askGateways(urls: readonly string[]): Promise<Found[]> {
  const cursors = await Promise.all(urls.map(deepCursor));
  return [
    ...(await inTurn(
      'jobs, first page',
      urls.map(url => () => page(url, {})),
    )),
    ...(await inTurn(
      'jobs, deep page',
      urls.map((url, index) => () => page(url, { after: cursors[index] })),
    )),
    ...(await inTurn(
      'jobs, by status',
      urls.map(url => () => page(url, { status: ['ERROR'] satisfies JobStatus[] })),
    )),
    ...(await inTurn(
      'REST /jobs',
      urls.map(url => async () => (await fetch(`${url}/jobs`)).text()),
    )),
  ];
}

async function askLedgers(folders: readonly string[]): Promise<Found[]> {
  const ledgers = folders.map(openLedger);
  const owned = { owner: 'key:1', statuses: null, first: 20, after: null };
  const failed = { ...owned, statuses: ['ERROR'] satisfies JobStatus[] };
  const found = [
    ...(await inTurn(
      'ledger, list by owner',
      ledgers.map(ledger => () => ledger.list(owned)),
    )),
    ...(await inTurn(
      'ledger, list by owner and status',
      ledgers.map(ledger => () => ledger.list(failed)),
    )),
    ...(await inTurn(
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
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: PAGE, variables }),
  });
  const { data }: { data: { jobs: { pageInfo: { endCursor: string } } } } = await answer.json();
  return data.jobs.pageInfo.endCursor;
}

/** The medians of work that is measured in turn, in the order of SIZES. */
async function inTurn(name: string, work: readonly (() => Promise<unknown>)[]): Promise<Found[]> {
  const samples = work.map((): number[] => []);
  for (let n = -WARM_UP; n < ASKED; n += 1) {
    for (const [index, one] of work.entries()) {
      const begun = performance.now();
      await one();
      if (n >= 0) samples[index]?.push(performance.now() - begun);
    }
  }
  return samples.map((found, index) => ({ name, size: SIZES[index] ?? 0, ms: percentile(found, 0.5) }));
}
