import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { testEnvironment } from '../test/support/gateway.ts';
import { atMost, type Bench, judged, overRuns, row } from './support/measurement.ts';
import { START } from './support/processes.ts';
import { withFolder } from './support/rest/folder.ts';

const MAIN = fileURLToPath(START);

export const bench: Bench = {
  title: 'From the start of the process to the first answers',
  about:
    'What `npm start` runs, on an empty folder: the embedded ledger and the sandbox. From spawning the process until it ' +
    'says where it listens, has answered GET / and then a first GraphQL query; beside a Node process that does nothing. ' +
    'Cold is without cached code, as the first start after an installation.',
  runs: 7,
  async measure(context) {
    // Builds what is older than its sources, and fills the cache.
    await withFolder(folder => startOnce(folder));
    const runs = await overRuns(context, async () => ({
      ...(await withFolder(folder => startOnce(folder))),
      cold: await withFolder(folder => startOnce(folder, { NODE_COMPILE_CACHE: join(folder, 'code') })),
    }));
    const rowOf = (name: string, pick: (times: (typeof runs)[number]) => number) =>
      row(name, 'ms', runs.map(pick));
    const answered = rowOf('GET / is answered after', ({ health }) => health);
    const query = rowOf('a GraphQL query is answered after', ({ graphql }) => graphql);
    const cold = rowOf('cold: GET / is answered after', times => times.cold.health);
    const coldQuery = rowOf('cold: a GraphQL query is answered after', times => times.cold.graphql);
    return {
      rows: [
        rowOf('Node alone', ({ nothing }) => nothing),
        rowOf('it listens after', ({ listening }) => listening),
        answered,
        query,
        cold,
        coldQuery,
      ],
      ratios: [
        judged('until both are answered, ms', query.median, atMost(400)),
        judged('cold: until both are answered, ms', coldQuery.median, atMost(700)),
      ],
    };
  },
  guard: {
    measure: context => bench.measure({ ...context, runs: 3 }),
    figures: [{ name: 'until both are answered, ms', better: 'lower', noise: 0.4 }],
  },
};

interface Times {
  readonly nothing: number;
  readonly listening: number;
  readonly health: number;
  readonly graphql: number;
}

async function startOnce(dataDir: string, settings: Record<string, string> = {}): Promise<Times> {
  const nothing = await idleProcess();
  const begun = performance.now();
  const since = (): number => performance.now() - begun;
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, ...testEnvironment(dataDir), ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise(resolve => child.once('exit', resolve));
  try {
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        const found = /http:\/\/\S+/.exec(chunk.toString())?.[0];
        if (found !== undefined) resolve(found);
      });
      child.once('exit', code => reject(new Error(`the gateway ended with ${code}`)));
    });
    const listening = since();
    await (await fetch(url)).json();
    const health = since();
    const answer = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ jobs(first: 1) { nodes { id } } }' }),
    });
    await answer.json();
    return { nothing, listening, health, graphql: since() };
  } finally {
    child.kill('SIGTERM');
    await exited;
  }
}

async function idleProcess(): Promise<number> {
  const begun = performance.now();
  const child = spawn(process.execPath, ['-e', '0']);
  await new Promise(resolve => child.once('exit', resolve));
  return performance.now() - begun;
}
