import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startGatewayProcess } from '../test/support/process.ts';
import { watchOverWebSocket } from '../test/support/watch.ts';
import { picture } from './support/rig.ts';

const WATCHERS = 1_000;
const EVENTS = 100;
const EVERY_MS = 60;
const RUNS = 3;
/** Of `clock ticks` in /proc/…/stat (proc(5)); 100 on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;

/**
 * Server CPU for a delivered progress message with 1,000 watchers of one job, beside a raw `ws` broadcast of the same
 * text. Server, engine and load are processes of their own; medians of three runs.
 */
export async function measure(): Promise<Record<string, unknown>> {
  const raw: number[] = [];
  const ours: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    raw.push(await measureRaw());
    ours.push(await measureGateway());
  }
  const [theirs, us] = [median(raw), median(ours)];
  return {
    'raw ws broadcast, µs a message': { median: theirs, min: Math.min(...raw), max: Math.max(...raw) },
    'gateway, µs a message': { median: us, min: Math.min(...ours), max: Math.max(...ours) },
    ratio: { median: Math.round((us / theirs) * 100) / 100 },
  };
}

async function measureRaw(): Promise<number> {
  const server = fork(new URL('support/raw-server.ts', import.meta.url));
  const { url }: { url: string } = await heard(server, 'url');
  const load = await startLoad({ url, count: WATCHERS });
  const before = await cpuOf(server.pid);
  server.send({ times: EVENTS, everyMs: EVERY_MS });
  await heard(server, 'done');
  const cost = await costOf(server.pid, before, load);
  load.kill();
  server.kill();
  return cost;
}

async function measureGateway(): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'fanout-'));
  const engine = fork(new URL('../src/sandbox/main.ts', import.meta.url), ['--step-ms', String(EVERY_MS)], {
    silent: true,
  });
  const engineUrl = await new Promise<string>(resolve => {
    engine.stdout?.on('data', chunk => {
      const found = /http:\/\/\S+/.exec(String(chunk))?.[0];
      if (found !== undefined) resolve(found);
    });
  });
  const gateway = await startGatewayProcess(dataDir, {
    COMFYUI_URL: engineUrl,
    PREVIEW_RATE: '0',
    ...{ MAX_SOCKETS: '20000', SUBSCRIPTIONS_PER_CALLER: '20000' },
  });
  try {
    const answer = await fetch(`${gateway.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image1_url: await picture(), prompt: 'a first job', steps: 1, megapixels: 0.1 }),
    });
    await watchOverWebSocket(gateway.url, (await answer.json()).job_id);
    const blocked = fetch(`${gateway.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image1_url: await picture(), prompt: 'x', steps: EVENTS, megapixels: 0.1 }),
    });
    const { job_id: jobId }: { job_id: string } = await (await blocked).json();
    const load = await startLoad({
      url: `${gateway.url.replace('http', 'ws')}/graphql`,
      count: WATCHERS,
      jobIds: [jobId],
    });
    await drain(load);
    const before = await cpuOf(gateway.child.pid);
    await watchOverWebSocket(gateway.url, jobId);
    const cost = await costOf(gateway.child.pid, before, load);
    load.kill();
    return cost;
  } finally {
    await gateway.end('SIGTERM');
    engine.kill();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function costOf(pid: number | undefined, before: number, load: ChildProcess): Promise<number> {
  await delay(300);
  const spent = (await cpuOf(pid)) - before;
  return Math.round((spent / (await drain(load))) * 1e7) / 10;
}

async function startLoad(what: { url: string; count: number; jobIds?: string[] }): Promise<ChildProcess> {
  const load = fork(new URL('support/watchers.ts', import.meta.url));
  load.send(what);
  await heard(load, 'ready');
  return load;
}

async function drain(load: ChildProcess): Promise<number> {
  load.send({ report: true });
  return (await heard<{ delivered: number }>(load, 'delivered')).delivered;
}

function heard<T>(child: ChildProcess, key: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const listen = (message: object): void => {
      if ('failed' in message) reject(new Error(String(message.failed)));
      if (!(key in message)) return;
      child.off('message', listen);
      resolve(message as T);
    };
    child.on('message', listen);
  });
}

/** Seconds of CPU that a process has used, user and system. */
async function cpuOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
