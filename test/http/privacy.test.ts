import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type LogLine, type RecordedLog, recordLog } from '../support/log.ts';
import { API_KEYS, as, KEYS, postGraphQL } from '../support/requests.ts';
import { openSocket } from '../support/sockets.ts';
import { watchOverSse } from '../support/watch.ts';

const PROMPT = 'a wish that stays private';
const SIGNED = 'signature-in-a-query';

let gateway: Rig;
let log: RecordedLog;
beforeEach(() => {
  log = recordLog();
});
afterEach(() => gateway.close());

const logged = (levels: readonly LogLine['level'][]): string =>
  JSON.stringify(log.lines.filter(({ level }) => levels.includes(level)));

it('logs prompts and image URLs at debug only, and keys never', async () => {
  gateway = await startRig({ RATE_LIMIT: '1000/1m' }, log);
  const edit = (image: string) =>
    fetch(`${gateway.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...as(KEYS.alice) },
      body: JSON.stringify({
        image1_url: image,
        prompt: PROMPT,
        negative_prompt: PROMPT,
        steps: 1,
        megapixels: 0.1,
      }),
    });
  const good = await (await edit(`${gateway.images.url}/red.png?${SIGNED}`)).json();
  // The image server does not have it.
  expect(good.detail).toContain('404');
  const sent = await (await edit(`${gateway.images.url}/red.png`)).json();
  await watchOverSse(gateway.url, sent.job_id);
  await edit(`http://10.0.0.1/${SIGNED}`);
  await postGraphQL(gateway.url, `{ job(id: "${PROMPT}") { nothing } }`, { x: PROMPT });
  await postGraphQL(gateway.url, '{ job(id: "x") { id } }', {}, { 'x-api-key': KEYS.bob });
  await fetch(`${gateway.url}/jobs?api_key=${KEYS.bob}`);
  const socket = await openSocket(gateway.url, { apiKey: KEYS.alice });
  await socket.run({ query: `{ job(id: "${PROMPT}") { nothing } }` });
  socket.socket.close();
  expect(logged(['info', 'warn', 'error'])).not.toContain(PROMPT);
  expect(logged(['info', 'warn', 'error'])).not.toContain(SIGNED);
  expect(logged(['info', 'warn', 'error'])).not.toContain('red.png');
  for (const key of Object.values(KEYS))
    expect(logged(['debug', 'info', 'warn', 'error'])).not.toContain(key);
});

it('does not log a prompt that the engine repeats in an error', async () => {
  const engine = await startTestEngine();
  await engine.fault({ failNode: { class: 'VAEDecode', message: `cannot decode "${PROMPT}"` } });
  gateway = await startRig({ COMFYUI_URL: engine.url }, log);
  try {
    const body = { image1_url: `${gateway.images.url}/red.png`, prompt: PROMPT, steps: 1, megapixels: 0.1 };
    const answer = await fetch(`${gateway.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const { job_id: id } = await answer.json();
    await watchOverSse(gateway.url, id);
    expect(JSON.stringify(await (await fetch(`${gateway.url}/debug/job/${id}`)).json())).toContain(
      'VAEDecode',
    );
  } finally {
    await engine.stop();
  }
  expect(logged(['warn'])).toContain('execution failed');
  expect(logged(['info', 'warn', 'error'])).not.toContain(PROMPT);
  expect(logged(['debug'])).toContain(PROMPT);
});

it('never shows the credentials of an engine', async () => {
  gateway = await startRig({ API_KEYS, COMFYUI_URL: 'http://gpu:hunter2@127.0.0.1:9' }, log);
  const query = '{ engines { id reason problems } workflows { problems } }';
  await expect
    .poll(async () => JSON.stringify((await postGraphQL(gateway.url, query, {}, as(KEYS.olga))).data))
    .toContain('"reason":"');
  for (const key of [KEYS.alice, KEYS.olga]) {
    expect(JSON.stringify((await postGraphQL(gateway.url, query, {}, as(key))).data)).not.toContain(
      'hunter2',
    );
  }
  expect(logged(['debug', 'info', 'warn', 'error'])).not.toContain('hunter2');
});
