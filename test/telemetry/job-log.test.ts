import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type LogLine, type RecordedLog, recordLog } from '../support/log.ts';
import { submit } from '../support/requests.ts';
import { eventually, waitForEnd, waitUntil } from '../support/watch.ts';

const PROMPT = 'a secret prompt';

let engine: TestEngine;
let rig: Rig;
let log: RecordedLog;
beforeAll(async () => {
  engine = await startTestEngine({ stepMs: 5 });
  log = recordLog();
  rig = await startRig({ COMFYUI_URL: engine.url, LANES_PER_ENGINE: '1' }, log);
});
afterEach(() => engine.fault({}));
afterAll(async () => {
  await rig.close();
  await engine.stop();
});

/** The lines of a job at `info` and above, once `last` is one of them. */
function life(id: string, last: string): Promise<LogLine[]> {
  return eventually(
    async () =>
      log.lines.filter(
        ({ level, message, fields }) =>
          level !== 'debug' && message.startsWith('job ') && Object(fields).job === id,
      ),
    lines => lines.some(({ message }) => message === last),
  );
}

const messagesOf = (lines: readonly LogLine[]) => lines.map(({ message }) => message);

it('has a line for each step of a job that completes', async () => {
  const id = await submit(rig, { prompt: PROMPT });
  const lines = await life(id, 'job completed');
  expect(messagesOf(lines)).toEqual(['job submitted', 'job started', 'job completed']);
  expect(lines.map(({ level }) => level)).toEqual(['info', 'info', 'info']);
  expect(lines[0]?.fields).toMatchObject({ images: 1, steps: 1, priority: 'NORMAL' });
  expect(lines[1]?.fields).toMatchObject({ attempt: 1, waitedMs: expect.any(Number) });
  expect(lines[2]?.fields).toMatchObject({
    images: 1,
    ranMs: expect.any(Number),
    totalMs: expect.any(Number),
  });
});

it('says why a job failed by its code, not by the text of the engine', async () => {
  await engine.fault({ failNode: { class: 'VAEDecode', message: `cannot decode ${PROMPT}` } });
  const id = await submit(rig, { prompt: PROMPT });
  const lines = await life(id, 'job failed');
  expect(lines.at(-1)).toMatchObject({ level: 'warn', fields: { code: 'EXECUTION_FAILED' } });
});

it('says that a job was canceled, while it waits and while it runs', async () => {
  const running = await submit(rig, { prompt: PROMPT, steps: 100 });
  await waitUntil(rig.url, running, ({ status }) => status === 'PROCESSING');
  const waiting = await submit(rig, { prompt: PROMPT });
  const cancel = (id: string) =>
    rig.graphql('mutation ($id: ID!) { cancelJob(id: $id) { __typename } }', { id });
  await cancel(waiting);
  expect(messagesOf(await life(waiting, 'job canceled'))).toEqual(['job submitted', 'job canceled']);
  await cancel(running);
  expect(messagesOf(await life(running, 'job canceled'))).toEqual([
    'job submitted',
    'job started',
    'job cancel requested',
    'job canceled',
  ]);
});

it('has no prompts and URLs of images but at debug', async () => {
  const id = await submit(rig, { prompt: PROMPT });
  await waitForEnd(rig.url, id);
  await life(id, 'job completed');
  const text = JSON.stringify(log.lines.filter(({ level }) => level !== 'debug'));
  expect(text).not.toContain(PROMPT);
  expect(text).not.toContain('red.png');
});
