import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { buildSchema } from 'graphql';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { anyCharacter, anyUrl } from '../support/characters.ts';
import { createDocuments } from '../support/fuzz/documents.ts';
import { anyValue, createReport, RUNS, SEED, TIMEOUT_MS } from '../support/fuzz/settings.ts';
import { type Known, type Operation, operations } from '../support/fuzz/variables.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type StandInRouter, startRouter } from '../support/router.ts';
import { openSocket, type RawSocket } from '../support/sockets.ts';

const schema = buildSchema(readFileSync(new URL('../../schema/schema.graphql', import.meta.url), 'utf8'));

let rig: Rig;
let router: StandInRouter;
let socket: RawSocket;
let png: Buffer;
let uploadId: string;
let engineId: string;
/** Jobs submitted recently. Some may have expired. */
let pool: string[] = [];
/** Batches submitted recently. */
let batches: string[] = [];
const POOL = 30;
beforeAll(async () => {
  router = await startRouter();
  rig = await startRig({
    SANDBOX_STEP: '1ms',
    MAX_QUEUE: '1000000',
    JOB_TTL: '20s',
    CALLBACK_ALLOW: '127.0.0.1',
  });
  socket = await openSocket(rig.url);
  png = await sharp({ create: { width: 40, height: 30, channels: 3, background: 'green' } })
    .png()
    .toBuffer();
  const sent = await fetch(`${rig.url}/upload`, {
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: new Uint8Array(png),
  });
  uploadId = (await sent.json()).upload_id;
  const { data } = await rig.graphql<{ engines: { id: string }[] }>('{ engines { id } }');
  engineId = data?.engines[0]?.id ?? '';
});
afterAll(async () => {
  socket.socket.close();
  await rig.close();
  await router.close();
});

const resultOf = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z
    .array(z.object({ extensions: z.looseObject({ code: z.string().optional() }).optional() }))
    .optional(),
});
type Result = z.output<typeof resultOf>;

type Answer = Result & { status: number; stream: boolean };

/** The forms of a stream over HTTP: how a result is found in each. */
const STREAMS = {
  'text/event-stream': /^data: (\{.*)\n/m,
  'multipart/mixed': /^\{"payload":(\{.*)\}\r\n--graphql/m,
} as const;

/** Sends an operation over HTTP. Of a stream, returns the first result. */
async function ask(operation: Operation, accept: string): Promise<Answer> {
  const response = await fetch(`${rig.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: JSON.stringify(operation),
  });
  const { status } = response;
  const type = response.headers.get('content-type') ?? '';
  const [, form] = Object.entries(STREAMS).find(([prefix]) => type.startsWith(prefix)) ?? [];
  const text = form === undefined ? await response.text() : await firstResult(response, form);
  return { ...resultOf.parse(JSON.parse(text)), status, stream: form !== undefined };
}

/** The first result of a stream, which may have no end. */
async function firstResult({ body }: Response, form: RegExp): Promise<string> {
  const decoder = new TextDecoder();
  let start = '';
  for await (const chunk of body ?? []) {
    start += decoder.decode(chunk, { stream: true });
    const [, result] = form.exec(start) ?? [];
    if (result !== undefined) return result;
  }
  return '{}';
}

/** Subscribes as a router, and leaves after the first result. */
async function askAsRouter({ query, variables }: Operation): Promise<Answer> {
  const subscription = await router.subscribe(rig.url, query, variables, { heartbeatMs: 1_000 });
  const { status, body } = subscription.response;
  if (subscription.ended() === 'not started') return { ...resultOf.parse(body), status, stream: false };
  await subscription.until(messages => messages.some(({ action }) => action !== 'check'));
  subscription.terminate();
  const first = subscription.messages.find(message => message.action === 'next');
  return { ...resultOf.parse(first?.payload ?? {}), status, stream: true };
}

/**
 * Sends an operation over the socket. Of a stream, returns the first result. A message that violates the protocol, e.g. with
 * variables that are not an object, closes the socket: then returns null and opens another one.
 */
async function askOverSocket(operation: Operation): Promise<Result | null> {
  const message = await Promise.race([socket.run(operation), socket.closed]);
  if ('code' in message) {
    expect([message.code, isProtocol(operation)]).toEqual([4400, false]);
    socket = await openSocket(rig.url);
    return null;
  }
  const { type, payload } = message;
  return resultOf.parse(type === 'error' ? { errors: payload } : payload);
}

function isProtocol({ variables }: Operation): boolean {
  return variables == null || (typeof variables === 'object' && !Array.isArray(variables));
}

/** The id of a job, mostly an existing one. */
function ids(): fc.Arbitrary<string> {
  const made = fc.nat().map(n => pool[n % pool.length] ?? '');
  return fc.oneof({ weight: 8, arbitrary: made }, { weight: 1, arbitrary: fc.uuid() }, fc.string());
}

/** The id of a batch, mostly an existing one. */
function batchIds(): fc.Arbitrary<string> {
  const made = fc.nat().map(n => batches[n % batches.length] ?? '');
  return fc.oneof({ weight: 4, arbitrary: made }, { weight: 1, arbitrary: ids() });
}

/** Values that the schema does not describe: URLs of images, existing ids, short jobs. */
function known(): Record<string, Known> {
  const url = fc.constantFrom(`${rig.images.url}/red.png`, `${rig.images.url}/blue.jpg`);
  const metadata = fc
    .dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string({ maxLength: 20 }), { maxKeys: 3 })
    .map(entries => Object.entries(entries).map(([key, value]) => ({ key, value })));
  const edit = {
    url,
    jobId: ids(),
    uploadId: fc.constant(uploadId),
    dataUri: fc.constant(`data:image/png;base64,${png.toString('base64')}`),
    images: fc.oneof(
      { weight: 2, arbitrary: url.map(one => [{ url: one }]) },
      { weight: 1, arbitrary: fc.constant([{ uploadId }]) },
      { weight: 1, arbitrary: ids().map(jobId => [{ jobId }, { uploadId }]) },
    ),
    prompt: fc.string({ unit: anyCharacter, maxLength: 50 }).map(text => `p${text.toWellFormed()}`),
    steps: fc.integer({ min: 1, max: 4 }),
    megapixels: fc.constant(0.1),
    workflow: fc.constantFrom(null, 'qwen-image-edit-plus'),
    parameters: fc.constant({}),
    webhook: fc.constant(null),
    // Of another size than most images.
    mask: fc.oneof(
      { weight: 8, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant({ uploadId }) },
    ),
    metadata,
  };
  return {
    every: { id: ids(), jobId: ids() },
    jobs: {
      after: fc.constant(null),
      before: fc.constant(null),
      label: fc.constantFrom(null, 'x'),
      metadata,
      // Not with `first`.
      last: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(200) }),
    },
    batch: { id: batchIds() },
    batchProgress: { batchId: batchIds() },
    cancelBatch: { batchId: batchIds() },
    retryFailed: { batchId: batchIds() },
    // A drained engine would run no further job.
    setEngineState: { id: fc.constant(engineId), drained: fc.constant(false) },
    editImage: {
      ...edit,
      variations: fc.constantFrom(null, 1),
      idempotencyKey: fc.oneof({ weight: 4, arbitrary: fc.uuid() }, fc.constantFrom('a', 'b')),
    },
    // The edits have no key.
    editImages: {
      ...edit,
      variations: fc.constantFrom(null, 1, 2),
      idempotencyKey: fc.constant(null),
    },
  };
}

/** A document with literal arguments, or with variables. */
function asked(): fc.Arbitrary<Operation> {
  const { documents, selectionOf } = createDocuments(schema, { pictures: rig.images.url, ids: ids() });
  return fc.oneof(
    { weight: 1, arbitrary: documents.map(query => ({ query: query.toWellFormed() })) },
    { weight: 2, arbitrary: operations(schema, selectionOf, known()) },
  );
}

/** What `extensions.subscription` may be: mostly near to what it takes. */
function callbacks(): fc.Arbitrary<unknown> {
  const near = fc.record({
    callbackUrl: fc.oneof(fc.constant(`${router.url}/callback/unknown`), anyUrl, fc.string()),
    subscriptionId: fc.oneof(fc.uuid(), anyValue),
    verifier: fc.oneof(fc.uuid(), anyValue),
    heartbeatIntervalMs: fc.oneof(fc.constantFrom(0, 500, 5_000), anyValue),
  });
  return fc.oneof({ weight: 3, arbitrary: near }, { weight: 1, arbitrary: anyValue });
}

const named = z
  .object({
    __typename: z.string().default(''),
    id: z.string().optional(),
    jobId: z.string().optional(),
  })
  .catch({ __typename: '' });

it(`GraphQL answers ${RUNS} documents over each transport without an internal error; FUZZ_SEED=${SEED}`, {
  timeout: TIMEOUT_MS * 2,
}, async () => {
  // Parsed and validated documents are cached, up to some thousands.
  const report = createReport(32);

  /** Counts outcomes, and remembers submitted jobs. */
  async function look(way: string, { variables }: Operation, { data, errors }: Result): Promise<void> {
    const codes = errors?.map(({ extensions }) => extensions?.code) ?? [];
    expect(codes).not.toContain('INTERNAL_SERVER_ERROR');
    expect(JSON.stringify(errors ?? [])).not.toMatch(/node_modules|\.ts:\d/);
    if (errors === undefined) report.count(`${way} without errors`);
    for (const [field, value] of Object.entries(data ?? {})) {
      const { __typename, id, jobId } = named.parse(value);
      if (errors === undefined && variables !== undefined) report.count(`${way} ${field} ${__typename}`);
      if (__typename === 'EditJob' && id !== undefined && !pool.includes(id)) pool.push(id);
      if (__typename === 'EditDeletedJob') pool = pool.filter(kept => kept !== jobId);
      if (__typename === 'EditBatch' && id !== undefined) {
        batches = [...new Set([id, ...batches])].slice(0, POOL);
      }
      if (pool.length > POOL) pool.shift();
      if (__typename === 'EditEngine') {
        await rig.graphql(`mutation { setEngineState(id: "${engineId}", drained: false) { __typename } }`);
      }
    }
  }

  const kindOf = ({ variables }: Operation): string => (variables === undefined ? 'literals' : 'variables');

  async function askHttp(operation: Operation): Promise<void> {
    await lookAt('HTTP', operation, await ask(operation, '*/*'));
    if (!/^\s*subscription\b/.test(operation.query)) return;
    const parts = 'multipart/mixed;subscriptionSpec=1.0, application/json';
    await lookAt('multipart', operation, await ask(operation, parts));
    await lookAt('callback', operation, await askAsRouter(operation));
  }

  async function lookAt(way: string, operation: Operation, answer: Answer): Promise<void> {
    const { status, stream, ...result } = answer;
    report.count(`${way} ${kindOf(operation)} ${status}${stream ? ' stream' : ''}`);
    expect(status).toBeLessThan(500);
    await look(way, operation, result);
  }

  /** Where to call back may be anything, too. */
  async function askForCallbacks(operation: Operation, subscription: unknown): Promise<void> {
    const accept = 'application/json;callbackSpec=1.0';
    const { status } = await ask({ ...operation, extensions: { subscription } }, accept);
    report.count(`callback to anything ${status}`);
    expect(status).toBeLessThan(500);
  }

  async function askSocket(operation: Operation): Promise<void> {
    const result = await askOverSocket(operation);
    const outcome = result === null ? 'closed' : result.data == null ? 'error' : 'data';
    report.count(`socket ${kindOf(operation)} ${outcome}`);
    if (result !== null) await look('socket', operation, result);
  }

  await fc.assert(
    // Each transport is sometimes first, since a job deleted by one is unknown to the other.
    fc.asyncProperty(asked(), fc.boolean(), callbacks(), async (operation, socketFirst, subscription) => {
      for (const overSocket of [socketFirst, !socketFirst]) {
        await (overSocket ? askSocket(operation) : askHttp(operation));
      }
      if (/^\s*subscription\b/.test(operation.query)) await askForCallbacks(operation, subscription);
      await report.ran();
    }),
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  );
  expect(socket.socket.readyState).toBe(socket.socket.OPEN);
  const counts = await report.print();
  for (const way of ['HTTP', 'socket']) {
    expect(counts.get(`${way} without errors`), way).toBeGreaterThan(RUNS / 4);
    for (const answered of [
      'job EditJob',
      'jobs EditJobConnection',
      'engines ',
      'workflows ',
      'editImage EditJob',
      'editImages EditBatch',
      'batch EditBatch',
      'cancelBatch EditBatch',
      'cancelJob EditJob',
      // On a busy machine few jobs have ended.
      'retryJob EditJob|retryJob EditJobNotFinal',
      'deleteJob EditDeletedJob',
      'setEngineState EditEngine',
      'jobProgress EditJob',
    ]) {
      // About one in twenty has variables, one per root field.
      const found = answered.split('|').map(one => counts.get(`${way} ${one}`) ?? 0);
      expect(Math.max(...found), `${way} ${answered}`).toBeGreaterThan(RUNS / 1000);
    }
  }
  for (const way of ['multipart', 'callback']) {
    expect(counts.get(`${way} jobProgress EditJob`) ?? 0, way).toBeGreaterThan(RUNS / 1000);
  }
  expect(router.violations).toEqual([]);
});
