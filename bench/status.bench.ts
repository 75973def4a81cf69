import { join } from 'node:path';
import { createFileArtifacts } from '../src/adapters/files/artifacts.ts';
import type { Job } from '../src/jobs/job.ts';
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
import { startFastApi } from './support/rest/fastapi.ts';
import { startOn, withFolder } from './support/rest/folder.ts';
import { getMany } from './support/rest/get.ts';
import { finished, keepJob, openLedger } from './support/rest/ledger.ts';

const CONNECTIONS = 50;
const FULL = { warmUpSeconds: 2, seconds: 5, withFastApi: true };
const SHORT: Extent = { warmUpSeconds: 1, seconds: 1, withFastApi: false };
const PEER = new URL('support/rest/plain-server.ts', import.meta.url);

const RUNNING: Partial<Job> = {
  status: 'PROCESSING',
  promptId: '0f7c9b47-3ad5-4a52-b434-d349b3e018a3',
  progress: 45.2,
  stage: 'SAMPLING',
  step: 18,
  totalSteps: 40,
  etaSeconds: 12.3,
};

export const bench: Bench = {
  title: 'GET /status/{id}: requests a second',
  about:
    `${CONNECTIONS} connections that stay open. The gateway runs as it is deployed, every guard on, and has the job in ` +
    'its SQLite file; bare node:http, once with two headers and once with the same, and FastAPI answer the very same ' +
    'JSON from a constant. Servers and load are processes of their own.',
  runs: 3,
  measure: context => withFolder(folder => measure(context, folder, FULL)),
  guard: {
    measure: context => withFolder(folder => measure(context, folder, SHORT)),
    figures: [
      { name: 'a job that runs, over bare node:http', better: 'higher', noise: 0.2 },
      { name: 'a job that is done, over bare node:http', better: 'higher', noise: 0.2 },
    ],
  },
};

/** Of each server. */
interface Extent {
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly withFastApi: boolean;
}

async function measure(
  context: BenchContext,
  dataDir: string,
  { warmUpSeconds, seconds, withFastApi }: Extent,
): Promise<Findings> {
  const { running, done } = await fill(dataDir);
  const gateway = await startOn(dataDir);
  const response = await fetch(`${gateway.url}/status/${running}`);
  const answer: unknown = await response.json();
  const text = JSON.stringify(answer);
  const plain = await startServer(PEER, { args: ['json', text] });
  const alike = await startServer(PEER, { args: ['json', text, JSON.stringify(headersOf(response))] });
  const fastApi = withFastApi ? await startFastApi(answer) : null;
  if (withFastApi && fastApi === null)
    context.note('FastAPI and uvicorn are not there: BENCH_PYTHON names who has them');
  try {
    const urls = {
      plain: `${plain.url}/status/x`,
      alike: `${alike.url}/status/x`,
      running: `${gateway.url}/status/${running}`,
      done: `${gateway.url}/status/${done}`,
      ...(fastApi === null ? {} : { fastApi: `${fastApi.url}/status/x` }),
    };
    for (const url of Object.values(urls)) await perSecond(url, warmUpSeconds);
    const runs = await overRuns(context, async () => {
      const found = new Map<string, number>();
      for (const [name, url] of Object.entries(urls)) found.set(name, await perSecond(url, seconds));
      return found;
    });
    const rowOf = (title: string, name: string) =>
      row(
        title,
        'requests/s',
        runs.flatMap(found => found.get(name) ?? []),
      );
    const bare = rowOf('bare node:http', 'plain');
    const sameHeaders = rowOf('bare node:http with the same headers', 'alike');
    const ours = rowOf('gateway, a job that runs', 'running');
    const finishedOnes = rowOf('gateway, a job that is done', 'done');
    const rows = [bare, sameHeaders, ours, finishedOnes];
    const ratios = [
      ratio('a job that runs, over bare node:http', ours, bare, atLeast(0.9)),
      ratio('a job that is done, over bare node:http', finishedOnes, bare, atLeast(0.9)),
      ratio('a job that runs, over bare node:http with the same headers', ours, sameHeaders),
    ];
    if (fastApi === null) return { rows, ratios };
    const theirs = rowOf('FastAPI on uvicorn', 'fastApi');
    return {
      rows: [...rows, theirs],
      ratios: [...ratios, judged('a job that runs, over FastAPI', ours.median / theirs.median, atLeast(5))],
    };
  } finally {
    await fastApi?.stop();
    await Promise.all([plain.stop(), alike.stop(), gateway.stop()]);
  }
}

/** Those of the gateway: without what Node adds to every response, and the length. */
function headersOf({ headers }: Response): Record<string, string> {
  const {
    date,
    connection,
    'keep-alive': keep,
    'content-length': length,
    ...rest
  } = Object.fromEntries(headers);
  return rest;
}

async function perSecond(url: string, seconds: number): Promise<number> {
  return (await getMany({ url, seconds, connections: CONNECTIONS })).perSecond;
}

async function fill(dataDir: string): Promise<{ running: string; done: string }> {
  const ledger = openLedger(dataDir);
  const artifacts = createFileArtifacts(join(dataDir, 'artifacts'));
  const key = 'outputs/x/0.png';
  const bytes = await artifacts.put(key, new Uint8Array(1_000));
  const running = await keepJob(ledger, RUNNING);
  const done = await keepJob(ledger, finished(key, bytes));
  await ledger.close();
  return { running: running.id, done: done.id };
}
