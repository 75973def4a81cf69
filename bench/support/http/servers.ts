import { fork } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ask } from '../ipc.ts';
import { type ServerProcess, START, startServer } from '../processes.ts';
import { picture } from '../rig.ts';
import type { LoadOrder, LoadResult } from './load.ts';

/** One finished job, for servers that are started one after another. */
export interface FinishedJob {
  readonly id: string;
  /** The gateway's folder; one process at a time can open it. */
  readonly dataDir: string;
  /** A copy of its ledger, for peers. */
  readonly ledger: string;
  remove(): Promise<void>;
}

/** The gateway with every default but its port, its folder and how much it logs. */
export function startOurs(dataDir: string): Promise<ServerProcess> {
  return startServer(START, { env: { PORT: '0', DATA_DIR: dataDir, LOG_LEVEL: 'error' } });
}

/** One of the kinds of `peer.ts`. Its URL is that of GraphQL. */
export function startPeer(kind: string, { ledger }: FinishedJob): Promise<ServerProcess> {
  return startServer(new URL('peer.ts', import.meta.url), { args: [kind, ledger] });
}

/** Has a gateway run one job on its sandbox, stops it, and copies what it wrote. */
export async function finishOneJob(): Promise<FinishedJob> {
  const folder = await mkdtemp(join(tmpdir(), 'graphql-http-'));
  const dataDir = join(folder, 'data');
  const gateway = await startOurs(dataDir);
  const id = await runJob(gateway.url).finally(() => gateway.stop());
  // Copy the whole folder: the write-ahead log of SQLite is a separate file.
  const copy = join(folder, 'copy');
  await cp(dataDir, copy, { recursive: true });
  return {
    id,
    dataDir,
    ledger: join(copy, 'jobs.sqlite'),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function runJob(url: string): Promise<string> {
  const answer = await fetch(`${url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ image1_url: await picture(), prompt: 'a short job', steps: 2, megapixels: 0.1 }),
  });
  const { job_id: id }: { job_id: string } = await answer.json();
  for (;;) {
    const { status, error } = await (await fetch(`${url}/status/${id}`)).json();
    if (status === 'completed') return id;
    if (status === 'error') throw new Error(`the job failed: ${error}`);
    await delay(50);
  }
}

/** Has a process of its own send requests for a while. */
export async function load(order: LoadOrder): Promise<LoadResult> {
  const child = fork(new URL('load.ts', import.meta.url));
  try {
    return (await ask<{ loaded: LoadResult }>(child, { load: order }, 'loaded')).loaded;
  } finally {
    child.kill();
  }
}
