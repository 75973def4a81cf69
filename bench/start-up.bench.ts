import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { testEnvironment } from '../test/support/gateway.ts';
import { atMost, type Bench, judged, overRuns, row } from './support/measurement.ts';
import { withFolder } from './support/rest/folder.ts';

const MAIN = fileURLToPath(new URL('../start.ts', import.meta.url));

export const bench: Bench = {
  title: 'From the start of the process to the first answers',
  about:
    'What `npm start` runs, on an empty folder: the embedded ledger and the sandbox. From spawning the process until it ' +
    'says where it listens, has answered GET / and then a first GraphQL query; beside a Node process that does nothing.',
  runs: 7,
  async measure(context) {
    const runs = await overRuns(context, () => withFolder(startOnce));
    const rowOf = (name: string, pick: (times: Times) => number) => row(name, 'ms', runs.map(pick));
    const answered = rowOf('GET / is answered after', ({ health }) => health);
    const query = rowOf('a GraphQL query is answered after', ({ graphql }) => graphql);
    return {
      rows: [
        rowOf('Node alone', ({ nothing }) => nothing),
        rowOf('it listens after', ({ listening }) => listening),
        answered,
        query,
      ],
      ratios: [judged('until both are answered, ms', query.median, atMost(1_000))],
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

async function startOnce(dataDir: string): Promise<Times> {
  const nothing = await idleProcess();
  const begun = performance.now();
  const since = (): number => performance.now() - begun;
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, ...testEnvironment(dataDir) },
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
