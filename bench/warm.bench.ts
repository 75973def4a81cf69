import { MODELS, workflowPerModel } from '../test/support/comfyui/workflow-per-model.ts';
import { atMost, type Bench, judged, overRuns, rowOf } from './support/measurement.ts';
import { type ServerProcess, startGateway, startServer } from './support/processes.ts';
import { picture } from './support/rig.ts';

const ENGINES = 2;
const JOBS = 60;
const STEPS = 4;
/** With encoding and decoding, an edit takes about nine of them. */
const STEP_MS = 50;
const LOAD_MS = 1_000;
/** As long as seven edits or three loads. */
const PATIENCE = '3s';

export const bench: Bench = {
  title: 'Jobs whose models are loaded go first',
  about:
    `${JOBS} edits at once, of ${MODELS.length} workflows with a model each, in random order, the same each time, on ${ENGINES} sandboxes. An edit ` +
    `takes about ${9 * STEP_MS} ms, loading a model in the place of another ${LOAD_MS} ms more. In the order of the queue ` +
    `(MODEL_PATIENCE=0s, as before), and with a patience of ${PATIENCE}. Delay: how much later a job starts than in the order of the queue.`,
  runs: 1,
  async measure(context) {
    const ordered = await overRuns(context, () => measureOnce('0s'));
    const warm = await overRuns(context, () => measureOnce(PATIENCE));
    const rows = [
      { name: 'in order', runs: ordered },
      { name: `patience ${PATIENCE}`, runs: warm },
    ].flatMap(({ name, runs }) => [
      rowOf(runs, `${name}: models loaded`, '', run => run.loads),
      rowOf(runs, `${name}: until the last has ended`, 's', run => run.seconds),
    ]);
    const delays = warm.map((run, n) => {
      const before = ordered[n]?.startedAfter ?? [];
      return Math.max(...run.startedAfter.map((after, job) => after - (before[job] ?? after)));
    });
    const [loadsBefore, secondsBefore, loadsNow, secondsNow] = rows.map(({ median }) => median);
    return {
      rows: [...rows, rowOf(delays, 'longest delay of a job by that', 's', seconds => seconds)],
      ratios: [
        judged(
          'models loaded, of those in order',
          (loadsNow ?? Number.NaN) / (loadsBefore ?? 1),
          atMost(0.6),
        ),
        judged('time, of that in order', (secondsNow ?? Number.NaN) / (secondsBefore ?? 1), atMost(0.85)),
      ],
    };
  },
};

interface Run {
  readonly loads: number;
  readonly seconds: number;
  /** Seconds from the submit of the last job to the start of each on its engine, in the order of the queue. */
  readonly startedAfter: readonly number[];
}

interface SandboxStats {
  readonly loads: Record<string, number>;
  readonly timeline: readonly { readonly id: string; readonly startedAt: number; readonly endedAt: number }[];
}

async function measureOnce(patience: string): Promise<Run> {
  const workflows = await workflowPerModel();
  const sandbox = new URL('../src/sandbox/main.ts', import.meta.url);
  const args = ['--port', '0', '--control', '--step-ms', String(STEP_MS), '--load-ms', String(LOAD_MS)];
  const servers: ServerProcess[] = [];
  try {
    const engines: ServerProcess[] = [];
    for (let n = 0; n < ENGINES; n += 1) engines.push(await startServer(sandbox, { args }));
    servers.push(...engines);
    const gateway = await startGateway({
      COMFYUI_URL: engines.map(({ url }) => url).join(','),
      WORKFLOWS_DIR: workflows.folder,
      MODEL_PATIENCE: patience,
    });
    servers.unshift(gateway);
    const image = await picture();
    // A generator with a known sequence (Park and Miller), so that each run has the same order.
    let random = 42;
    const ids: string[] = [];
    for (let n = 0; n < JOBS; n += 1) {
      random = (random * 48_271) % 2_147_483_647;
      const body = {
        image1_url: image,
        prompt: `job ${n}`,
        steps: STEPS,
        megapixels: 0.1,
        workflow: `model-${random % MODELS.length}`,
      };
      const { job_id } = await json(`${gateway.url}/edit-image`, body);
      ids.push(String(job_id));
    }
    const begun = Date.now();
    const runs = new Map<string, string>();
    for (const id of ids) runs.set(id, await promptOf(gateway.url, id));
    const stats: SandboxStats[] = await Promise.all(
      engines.map(async ({ url }) => (await fetch(`${url}/sandbox/stats`)).json()),
    );
    const timeline = stats.flatMap(({ timeline }) => timeline);
    return {
      loads: stats.flatMap(({ loads }) => Object.values(loads)).reduce((sum, n) => sum + n, 0),
      seconds: (Math.max(...timeline.map(({ endedAt }) => endedAt)) - begun) / 1000,
      startedAfter: ids.map(id => {
        const span = timeline.find(run => run.id === runs.get(id));
        return ((span?.startedAt ?? Number.NaN) - begun) / 1000;
      }),
    };
  } finally {
    for (const server of servers) await server.stop();
    await workflows.remove();
  }
}

/** Waits for the end of a job; resolves with the id of its prompt. */
async function promptOf(url: string, id: string): Promise<string> {
  for (;;) {
    const { status, error, prompt_id: prompt } = await json(`${url}/status/${id}`);
    if (status === 'error') throw new Error(String(error));
    if (status === 'completed') return String(prompt);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

async function json(url: string, body?: object): Promise<Record<string, unknown>> {
  const init =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(url, init);
  const read: unknown = await answer.json();
  if (!answer.ok || typeof read !== 'object' || read === null)
    throw new Error(`${url}: ${JSON.stringify(read)}`);
  return { ...read };
}
