import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { type RecordedLog, recordLog } from '../support/log.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp.ts';
import { type RecordingProxy, startRecordingProxy } from '../support/proxies.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { postEdit, submit, submitByGraphQL } from '../support/requests.ts';
import { freePort, listen } from '../support/servers.ts';
import { openSocket } from '../support/sockets.ts';
import { startRedis } from '../support/stores/redis.ts';
import { until, waitForEnd, waitUntil } from '../support/watch.ts';

const PROMPT = 'a secret prompt';
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const CALLER = 'b7ad6b7169203331';

let collector: OtlpReceiver;
let engine: TestEngine;
let comfyui: RecordingProxy;
let receiver: Receiver;
let log: RecordedLog;
let rig: Rig;
beforeAll(async () => {
  vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', '50');
  vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'deployment.environment.name=test');
  vi.stubEnv('OTEL_EXPORTER_OTLP_HEADERS', 'authorization=Bearer%20of-the-collector');
  collector = await startOtlpReceiver();
  engine = await startTestEngine({ stepMs: 5 });
  comfyui = await startRecordingProxy(engine.url);
  receiver = await startReceiver();
  log = recordLog();
  rig = await startRig(
    {
      COMFYUI_URL: comfyui.url,
      WEBHOOK_SECRET: SECRET,
      LOG_REQUESTS: '1',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    },
    log,
  );
});
afterAll(async () => {
  await rig.close();
  await comfyui.stop();
  await engine.stop();
  await receiver.close();
  await collector.close();
  vi.unstubAllEnvs();
});

let traces = 0;
/** The `traceparent` of a caller's span in a new trace. */
function aTrace(flags = '01') {
  const traceId = (++traces).toString(16).padStart(32, 'a');
  return { traceId, traceparent: `00-${traceId}-${CALLER}-${flags}` };
}

/** The one span of this name. */
function only(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const [span, ...others] = spans.filter(each => each.name === name);
  if (span === undefined || others.length > 0) throw new Error(`${name}: ${spans.map(each => each.name)}`);
  return span;
}

/** Each span as `parent > name`. */
function tree(spans: readonly ReceivedSpan[]): string[] {
  const nameOf = (id: string): string => spans.find(({ spanId }) => spanId === id)?.name ?? id;
  return spans.map(({ parentSpanId, name }) => `${nameOf(parentSpanId)} > ${name}`);
}

describe('a job', () => {
  it('is one trace, from the span of its caller to its webhook', async () => {
    const { traceId, traceparent } = aTrace();
    const webhook = { url: receiver.url, events: ['completed'] };
    const id = await submit(rig, { prompt: PROMPT, steps: 4, webhook }, { traceparent });
    const spans = await collector.trace(traceId, 'post webhook');
    expect(tree(spans)).toEqual(
      expect.arrayContaining([
        `${CALLER} > submit job`,
        'submit job > fetch image',
        'submit job > store image',
        'submit job > store job',
        'submit job > job',
        'job > wait',
        'job > run',
        'run > upload images',
        'run > queue',
        'run > sampling',
        'run > collect images',
        'collect images > store image',
        'job > post webhook',
      ]),
    );
    const stages = ['loading', 'encoding', 'sampling', 'decoding', 'saving'];
    const inRun = spans.filter(({ parentSpanId }) => parentSpanId === only(spans, 'run').spanId);
    expect([...stages, 'upload images', 'queue', 'collect images']).toEqual(
      expect.arrayContaining(inRun.map(({ name }) => name)),
    );
    const job = only(spans, 'job');
    expect(job.attributes).toMatchObject({
      'job.id': id,
      'job.status': 'COMPLETED',
      'job.workflow': 'qwen-image-edit-plus',
      'job.attempt': 1,
    });
    expect(only(spans, 'run').attributes).toMatchObject({
      engine: comfyui.url.replace('http://', ''),
      'run.outcome': 'completed',
      'run.resumed': false,
    });
    expect(job.resource).toMatchObject({
      'service.name': 'qwen-edit-gateway',
      'deployment.environment.name': 'test',
    });
    expect(spans.every(({ status, startedAt, endedAt }) => status === 0 && startedAt <= endedAt)).toBe(true);
    const run = only(spans, 'run');
    const collect = only(spans, 'collect images');
    for (const stage of inRun.filter(({ name }) => stages.includes(name))) {
      expect(run.startedAt).toBeLessThanOrEqual(stage.startedAt);
      expect(stage.endedAt).toBeLessThanOrEqual(collect.startedAt + 1);
    }
    expect(collector.headers[0]?.authorization).toBe('Bearer of-the-collector');

    const [hook] = await receiver.heard(1);
    expect(hook?.headers.traceparent).toBe(`00-${traceId}-${only(spans, 'post webhook').spanId}-01`);
    const paths = comfyui.passed
      .filter(({ headers }) => String(headers.traceparent).includes(traceId))
      .map(({ path }) => path.replace(/\?.*/, ''));
    expect(paths).toEqual(expect.arrayContaining(['/upload/image', '/ws', '/prompt', '/view']));
  });

  it('has its trace in each line of the log, and so has its request', async () => {
    const { traceId, traceparent } = aTrace();
    const id = await submit(rig, {}, { traceparent, 'x-request-id': 'traced' });
    await collector.trace(traceId, 'job');
    const fields = log.lines.map(line => Object(line.fields));
    const lines = fields.filter(({ job }) => job === id);
    expect(lines.length).toBeGreaterThanOrEqual(3);
    expect(lines.map(line => line.traceId)).toEqual(lines.map(() => traceId));
    await until(() => log.lines.some(({ fields }) => Object(fields).requestId === 'traced'));
    expect(log.lines.find(({ fields }) => Object(fields).requestId === 'traced')?.fields).toMatchObject({
      traceId,
    });
  });

  it('starts a trace without a caller’s, and ignores a malformed one', async () => {
    for (const traceparent of [undefined, 'rubbish', `00-${'0'.repeat(32)}-${CALLER}-01`]) {
      const id = await submit(rig, {}, traceparent === undefined ? {} : { traceparent });
      const find = () =>
        collector.spans.find(({ name, attributes }) => name === 'job' && attributes['job.id'] === id);
      await until(() => find() !== undefined);
      const trace = await collector.trace(find()?.traceId ?? '', 'submit job');
      expect(only(trace, 'submit job')).toMatchObject({ parentSpanId: '', kind: 2 });
    }
  });

  it('is not recorded when its caller does not record the trace, which goes on', async () => {
    const { traceId, traceparent } = aTrace('00');
    const id = await submit(rig, {}, { traceparent });
    await waitForEnd(rig.url, id);
    const after = aTrace();
    await submit(rig, {}, { traceparent: after.traceparent });
    await collector.trace(after.traceId, 'job');
    expect(collector.spans.filter(span => span.traceId === traceId)).toEqual([]);
    const prompt = comfyui.passed.find(
      ({ path, headers }) => path === '/prompt' && String(headers.traceparent).includes(traceId),
    );
    expect(prompt?.headers.traceparent).toMatch(/-00$/);
  });

  it('that fails has the code on its spans, and no text of a caller or an engine', async () => {
    await engine.fault({ failNode: { class: 'VAEDecode', message: `cannot decode ${PROMPT}` } });
    onTestFinished(() => engine.fault({}));
    const { traceId, traceparent } = aTrace();
    await submit(rig, { prompt: PROMPT }, { traceparent });
    const spans = await collector.trace(traceId, 'job');
    for (const name of ['job', 'run']) {
      expect(only(spans, name)).toMatchObject({
        status: 2,
        attributes: { 'error.type': 'EXECUTION_FAILED' },
      });
    }
    const text = JSON.stringify(collector.spans);
    expect(text).not.toContain(PROMPT);
    expect(text).not.toContain('red.png');
    expect(text).not.toContain(receiver.url);
  });

  it('that is rejected ends with its submit', async () => {
    const { traceId, traceparent } = aTrace();
    await postEdit(rig, { image1_url: 'http://10.0.0.1/x.png?key=hunter2' }, { traceparent });
    const spans = await collector.trace(traceId, 'submit job');
    expect(tree(spans).toSorted()).toEqual([`${CALLER} > submit job`, 'submit job > fetch image']);
    expect(spans.map(({ attributes }) => attributes['error.type'])).toEqual([
      'INPUT_BLOCKED',
      'INPUT_BLOCKED',
    ]);
  });

  it('is part of the caller’s trace over GraphQL, also through a socket', async () => {
    const posted = aTrace();
    await submitByGraphQL(rig, {}, { traceparent: posted.traceparent });
    expect(only(await collector.trace(posted.traceId, 'job'), 'submit job').parentSpanId).toBe(CALLER);

    const sent = aTrace();
    const socket = await openSocket(rig.url);
    onTestFinished(() => socket.socket.close());
    await socket.run({
      query: `mutation { editImage(input: { images: [{ url: "${rig.images.url}/red.png" }], prompt: "x", steps: 1 }) { __typename } }`,
      extensions: { traceparent: sent.traceparent },
    });
    expect(only(await collector.trace(sent.traceId, 'job'), 'submit job').parentSpanId).toBe(CALLER);
  });
});

it('a run that another gateway takes over is part of the same trace', async () => {
  const redis = await startRedis();
  const slow = await startTestEngine({ stepMs: 45 });
  const images = await startImageServer();
  const shared = await mkdtemp(join(tmpdir(), 'shared-'));
  onTestFinished(async () => {
    await images.close();
    await slow.stop();
    await redis.stop();
    await rm(shared, { recursive: true, force: true });
  });
  const start = async (name: string) => {
    const gateway = await startGatewayProcess(shared, {
      REDIS_URL: redis.url,
      COMFYUI_URL: slow.url,
      LEASE: '2s',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: name,
      OTEL_BSP_SCHEDULE_DELAY: '50',
    });
    onTestFinished(async () => void (await gateway.end('SIGKILL')));
    return gateway;
  };
  const first = await start('first');
  const { traceId, traceparent } = aTrace();
  const id = await submit({ url: first.url, images }, { steps: 60 }, { traceparent });
  await waitUntil(first.url, id, ({ step }) => (step ?? 0) > 3);
  await collector.trace(traceId, 'wait');
  await first.end('SIGKILL');
  await start('second');
  const spans = await collector.trace(traceId, 'job');
  const by = (name: string) =>
    spans.filter(({ resource }) => resource['service.name'] === name).map(each => each.name);
  expect(by('first')).toEqual(expect.arrayContaining(['submit job', 'wait', 'upload images', 'queue']));
  expect(by('second')).toEqual(expect.arrayContaining(['run', 'sampling', 'collect images', 'job']));
  const job = only(spans, 'job');
  expect(job.parentSpanId).toBe(only(spans, 'submit job').spanId);
  expect(only(spans, 'wait').parentSpanId).toBe(job.spanId);
  expect(only(spans, 'run')).toMatchObject({
    parentSpanId: job.spanId,
    attributes: { 'run.resumed': true, 'run.outcome': 'completed', 'job.attempt': 1 },
  });
});

describe('a collector', () => {
  const warningsOf = ({ lines }: RecordedLog) =>
    lines.filter(({ level, message }) => level === 'warn' && message.includes('trace'));

  it('that is away costs one warning', async () => {
    vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '100');
    onTestFinished(() => void vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', undefined));
    const lines = recordLog();
    const url = `http://127.0.0.1:${await freePort()}`;
    const gateway = await startRig({ OTEL_EXPORTER_OTLP_ENDPOINT: url, SANDBOX_STEP: '1ms' }, lines);
    onTestFinished(() => gateway.close());
    for (let n = 0; n < 3; n++) {
      await waitForEnd(gateway.url, await submit(gateway));
      await until(() => warningsOf(lines).length > 0);
    }
    expect(warningsOf(lines)).toMatchObject([
      { message: 'traces cannot be sent to the collector', fields: { reason: expect.any(String) } },
    ]);
  });

  it('that does not answer holds up a stop for three seconds at most', async () => {
    const silent = createServer();
    const url = `http://127.0.0.1:${await listen(silent)}`;
    onTestFinished(() => void silent.close());
    const asked = once(silent, 'request');
    const gateway = await startRig({ OTEL_EXPORTER_OTLP_ENDPOINT: url, SANDBOX_STEP: '1ms' });
    await waitForEnd(gateway.url, await submit(gateway));
    await asked;
    const began = performance.now();
    await gateway.close();
    expect(performance.now() - began).toBeLessThan(8_000);
    silent.closeAllConnections();
  });
});

describe('without a collector', () => {
  /** Makes every import of OpenTelemetry fail, but its API's: prom-client has that. */
  const BLOCKED = `--import data:text/javascript,${encodeURIComponent(`
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve(name, context, next) {
        if (/^@opentelemetry\\/(sdk|exporter|resources)/.test(name)) throw new Error('it imports ' + name);
        return next(name, context);
      },
    });`)}`;

  it('OpenTelemetry is not loaded', async () => {
    const data = await mkdtemp(join(tmpdir(), 'untraced-'));
    onTestFinished(() => rm(data, { recursive: true, force: true }));
    const settings = { NODE_OPTIONS: BLOCKED, LOG_LEVEL: 'error' };
    const traced = { ...settings, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    await expect(startGatewayProcess(data, traced)).rejects.toThrow('it imports @opentelemetry/');
    const gateway = await startGatewayProcess(data, settings);
    expect((await fetch(`${gateway.url}/livez`)).status).toBe(200);
    expect(await gateway.end('SIGTERM')).toBe(0);
    const off = await startGatewayProcess(data, { ...traced, OTEL_SDK_DISABLED: 'true' });
    expect(await off.end('SIGTERM')).toBe(0);
  });

  it('the log of a job still has the trace of its request', async () => {
    const lines = recordLog();
    const gateway = await startRig({ SANDBOX_STEP: '1ms' }, lines);
    onTestFinished(() => gateway.close());
    const { traceId, traceparent } = aTrace();
    const id = await submit(gateway, {}, { traceparent });
    await waitForEnd(gateway.url, id);
    const seen = lines.lines.map(({ fields }) => Object(fields)).filter(({ job }) => job === id);
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect(seen.map(line => line.traceId)).toEqual(seen.map(() => traceId));
  });
});
