import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { faultOf, isPathOf, type Operation, operations } from '../support/fuzz/openapi.ts';
import { type Asked, fill, type Kind, requests, requestTo, type World } from '../support/fuzz/requests.ts';
import { createReport, RUNS, SEED, TIMEOUT_MS } from '../support/fuzz/settings.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { listen } from '../support/servers.ts';

let rig: Rig;
let world: World;
let closeHook: () => void;
beforeAll(async () => {
  rig = await startRig({
    SANDBOX_STEP: '1ms',
    MAX_QUEUE: '1000000',
    PREVIEW_RATE: '30',
    // Keeps memory and the size of lists constant.
    JOB_TTL: '20s',
    UPLOAD_TTL: '20s',
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
  });
  const hook = await startHook();
  closeHook = hook.close;
  const plain = () => sharp({ create: { width: 40, height: 30, channels: 3, background: 'green' } });
  world = {
    pictures: rig.images.url,
    hook: hook.url,
    files: [
      { type: 'image/png', bytes: await plain().png().toBuffer() },
      { type: 'image/jpeg', bytes: await plain().jpeg().toBuffer() },
      { type: 'image/webp', bytes: await plain().webp().toBuffer() },
    ],
  };
});
afterAll(async () => {
  await rig.close();
  closeHook();
});

/** Receives webhooks and drops them. */
async function startHook(): Promise<{ url: string; close: () => void }> {
  const server = createServer((incoming, response) => {
    incoming.resume();
    response.writeHead(204).end();
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}/hook`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function send(method: string, path: string, headers: object, body: Asked['body']): Promise<Answer> {
  const sending = request(rig.url + path, { method, headers: { ...headers }, timeout: 20_000 });
  sending.end(body ?? '');
  const [response]: IncomingMessage[] = await once(sending, 'response');
  if (response === undefined) throw new Error('no answer');
  const [type = ''] = (response.headers['content-type'] ?? '').split(';');
  const read = type === 'text/event-stream' ? firstEvent : text;
  return { status: response.statusCode ?? 0, type, text: await read(response) };
}

/** The start of a stream, which may have no end. */
async function firstEvent(response: IncomingMessage): Promise<string> {
  let start = '';
  for await (const chunk of response) {
    start += String(chunk);
    if (start.includes('\n\n')) break;
  }
  return start;
}

/** How many more requests a route gets at most that the random ones left out: a tenth of them and more are accepted. */
const MORE = 200;

const nowOf = z.object({ revision: z.number(), step: z.number().optional(), status: z.string() });
type Now = z.output<typeof nowOf>;

/** Existing jobs and uploads. Creates new ones when there are too few. */
function createThings() {
  const made: Record<'job' | 'running' | 'upload', string[]> = { job: [], running: [], upload: [] };
  let lastBatch = 'none';
  const KEPT = 20;

  async function submit(fields: object): Promise<string> {
    const edit = {
      image1_url: `${rig.images.url}/red.png`,
      prompt: 'x',
      steps: 1,
      megapixels: 0.1,
      ...fields,
    };
    const answer = await send(
      'POST',
      '/edit-image',
      { 'content-type': 'application/json' },
      JSON.stringify(edit),
    );
    return z.object({ job_id: z.string() }).parse(JSON.parse(answer.text)).job_id;
  }

  /** Polls a job until it has a status or has ended; null: it is unknown. */
  async function follow(id: string, enough: (now: Now) => boolean): Promise<Now | null> {
    for (let revision = 0; ; ) {
      const answer = await send('GET', `/status/${id}?wait=5&revision=${revision}`, {}, null);
      if (answer.status === 404) return null;
      const now = nowOf.parse(JSON.parse(answer.text));
      if (enough(now) || now.status === 'completed' || now.status === 'error') return now;
      revision = now.revision;
    }
  }

  /** A running job with previews and enough steps left. */
  async function running(): Promise<string> {
    const [last] = made.running;
    const now = last === undefined ? null : await follow(last, () => true);
    if (last !== undefined && now?.status === 'processing') return last;
    const id = await submit({ steps: 100, priority: 'high' });
    made.running = [id];
    await follow(id, ({ step = 0 }) => step > 1);
    return id;
  }

  async function job(n: number): Promise<string> {
    if (made.job.length < 3) made.job.unshift(await submit({}));
    return made.job[n % made.job.length] ?? 'none';
  }

  async function done(n: number): Promise<string> {
    const id = await job(n);
    // It may have expired.
    if ((await follow(id, () => false)) !== null) return id;
    made.job = made.job.filter(kept => kept !== id);
    return done(n);
  }

  async function batch(): Promise<string> {
    // It may have expired.
    if ((await send('GET', `/batches/${lastBatch}`, {}, null)).status === 200) return lastBatch;
    const edit = { image1_url: `${rig.images.url}/red.png`, prompt: 'x', steps: 1, megapixels: 0.1 };
    const body = JSON.stringify({ edits: [{ ...edit, variations: 2 }] });
    const answer = await send('POST', '/edit-images', { 'content-type': 'application/json' }, body);
    lastBatch = z.object({ batch_id: z.string() }).parse(JSON.parse(answer.text)).batch_id;
    return lastBatch;
  }

  return {
    keep(kind: 'job' | 'upload', id: string): void {
      made[kind].unshift(id);
      made[kind].length = Math.min(made[kind].length, KEPT);
    },
    forget(id: string): void {
      made.job = made.job.filter(kept => kept !== id);
    },
    async idOf(kind: Kind, n: number): Promise<string> {
      switch (kind) {
        case 'job':
          return job(n);
        case 'running':
          return running();
        case 'done':
          return done(n);
        case 'batch':
          return batch();
        default:
          return made.upload[n % made.upload.length] ?? 'none';
      }
    },
  };
}

/** How a response differs from the document of its route; null: it does not. */
function undocumented(
  { name: route, responses, method }: Operation,
  { status, type, text: body }: Answer,
): string | null {
  const response = responses[status];
  if (response === undefined) return `answers ${status}`;
  if (method === 'HEAD' || body === '') return null;
  const schema = response.content?.[type]?.schema;
  if (schema === undefined) return `answers ${status} as ${type}`;
  if (type === 'application/json') return faultOf(schema, JSON.parse(body));
  if (type !== 'text/event-stream') return null;
  const subject = route.includes('{batch_id}') ? 'GET /batches/{batch_id}' : 'GET /status/{job_id}';
  const form = operations.find(({ name }) => name === subject)?.responses['200']?.content;
  const event = form?.['application/json']?.schema ?? {};
  // Named events say what became of jobs; the others are statuses.
  const faults = [...body.matchAll(/(?<!^event: .*\n)^data: (.*)\n/gm)].map(([, data = '']) =>
    faultOf(event, JSON.parse(data)),
  );
  return faults.find(fault => fault !== null) ?? null;
}

/** What is wrong with the response to an unknown path; null: nothing. */
function unlikeNoPath({ status, text: body }: Answer, method: string): string | null {
  if (![400, 404, 405].includes(status)) return `answers ${status} for what is no path`;
  return method === 'HEAD'
    ? null
    : (z.strictObject({ detail: z.string() }).safeParse(JSON.parse(body)).error?.message ?? null);
}

/** The only error of other servers that is reported with 500. */
const NO_PICTURE = /^\{"detail":"Failed to download file from URL: /;

const made = z.object({ job_id: z.string().optional(), upload_id: z.string().optional() });

it(`REST answers ${RUNS} requests as documented, none with an internal error; FUZZ_SEED=${SEED}`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const report = createReport(4);
  const things = createThings();

  async function ask({ operation: meant, path, headers, body, traits }: Asked): Promise<void> {
    const target = await fill(path, things.idOf);
    const filled = typeof body === 'string' ? await fill(body, things.idOf) : body;
    const answer = await send(meant.method, target, headers, filled);
    const said = `${meant.name} ${target} → ${answer.status} ${answer.text.slice(0, 500)}`;
    // Without an id, the path of one route may be that of another; clients leave out "." and "..".
    const { pathname } = new URL(rig.url + target);
    const operation = [meant, ...operations].find(
      one => one.method === meant.method && isPathOf(one, pathname),
    );
    if (operation === undefined) {
      report.count(`no path ${answer.status}`);
      expect(unlikeNoPath(answer, meant.method), said).toBeNull();
      return;
    }
    report.count(`${operation.name} ${answer.status}`);
    expect(undocumented(operation, answer), said).toBeNull();
    if (answer.status >= 500) expect(answer.text, said).toMatch(NO_PICTURE);
    expect(answer.text).not.toMatch(/\bat \w+.*\(file:|node_modules/);
    if (answer.status < 400) {
      report.count(`${operation.name} accepted`);
      for (const trait of new Set(traits)) report.count(`${operation.name} accepted with ${trait}`);
    }
    if (operation.method === 'POST' && answer.status < 300) {
      const { job_id: job, upload_id: upload } = made.parse(JSON.parse(answer.text));
      if (job !== undefined) things.keep('job', job);
      if (upload !== undefined) things.keep('upload', upload);
    }
    if (operation.method === 'DELETE' && answer.status === 200) things.forget(target.split('/').at(-1) ?? '');
  }

  await fc.assert(
    fc.asyncProperty(requests(world), async asked => {
      await ask(asked);
      await report.ran();
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  );
  // It still exists.
  expect((await fetch(rig.url)).status).toBe(200);
  const counts = await report.print();
  for (const name of [
    // Those of engines take keys that nothing here has, and no job of this sandbox fails, so that none can be retried.
    ...operations
      .filter(({ name }) => !name.includes(' /engines') && name !== 'POST /batches/{batch_id}/retry')
      .map(({ name }) => `${name} accepted`),
    'POST /edit-image accepted with webhook',
    'POST /edit-image accepted with upload',
    'POST /edit-image accepted with job',
    'POST /edit-image accepted with data',
    'POST /upload accepted with raw',
    'POST /upload accepted with form',
    'GET /status/{job_id} accepted with wait',
  ]) {
    // Each route gets about one in thirty.
    const isEnough = (): boolean => (counts.get(name) ?? 0) > RUNS / 1000;
    const operation = operations.find(one => name.startsWith(`${one.name} accepted`));
    if (operation === undefined) throw new Error(`no operation is named as in: ${name}`);
    if (isEnough()) continue;
    // One in a hundred runs of 500 would have none of some route by chance.
    for (const asked of fc.sample(requestTo(operation, world), { numRuns: MORE, seed: SEED })) {
      if (isEnough()) break;
      await ask(asked);
    }
    expect(isEnough(), `${name}: ${counts.get(name) ?? 0}`).toBe(true);
  }
});
