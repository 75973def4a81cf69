import { afterEach, expect, it } from 'vitest';
import { startTestEngine } from '../support/engine.ts';
import { servePictures } from '../support/gateway.ts';
import type { LogLine } from '../support/log.ts';
import { startTestGateway, type TestGateway } from '../support/rest-gateway.ts';
import { API_KEYS, as, askGraphQL, KEYS, openSocket } from '../support/sockets.ts';
import { watchOverSse } from '../support/watch.ts';

const PROMPT = 'a wish that stays private';
const SIGNED = 'signature-in-a-query';

let gateway: TestGateway;
afterEach(() => gateway.stop());

const logged = (levels: readonly LogLine['level'][]): string =>
  JSON.stringify(gateway.lines.filter(({ level }) => levels.includes(level)));

it('logs prompts and image URLs at debug only, and keys never', async () => {
  gateway = await startTestGateway({ RATE_LIMIT: '1000/1m' });
  const pictures = await servePictures();
  try {
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
    const good = await (await edit(`${pictures.url}/red.png?${SIGNED}`)).json();
    // The image server does not have it.
    expect(good.detail).toContain('404');
    const sent = await (await edit(`${pictures.url}/red.png`)).json();
    await watchOverSse(gateway.url, sent.job_id);
    await edit(`http://10.0.0.1/${SIGNED}`);
    await askGraphQL(gateway.url, `{ job(id: "${PROMPT}") { nothing } }`, { x: PROMPT });
    await askGraphQL(gateway.url, '{ job(id: "x") { id } }', {}, { 'x-api-key': KEYS.bob });
    await fetch(`${gateway.url}/jobs?api_key=${KEYS.bob}`);
    const socket = await openSocket(gateway.url, { apiKey: KEYS.alice });
    await socket.run({ query: `{ job(id: "${PROMPT}") { nothing } }` });
    socket.socket.close();
  } finally {
    await pictures.close();
  }
  expect(logged(['info', 'warn', 'error'])).not.toContain(PROMPT);
  expect(logged(['info', 'warn', 'error'])).not.toContain(SIGNED);
  expect(logged(['info', 'warn', 'error'])).not.toContain('red.png');
  for (const key of Object.values(KEYS))
    expect(logged(['debug', 'info', 'warn', 'error'])).not.toContain(key);
});

it('does not log a prompt that the engine repeats in an error', async () => {
  const engine = await startTestEngine();
  await engine.fault({ failNode: { class: 'VAEDecode', message: `cannot decode "${PROMPT}"` } });
  gateway = await startTestGateway({ COMFYUI_URL: engine.url });
  const pictures = await servePictures();
  try {
    const body = { image1_url: `${pictures.url}/red.png`, prompt: PROMPT, steps: 1, megapixels: 0.1 };
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
    await pictures.close();
    await engine.stop();
  }
  expect(logged(['warn'])).toContain('execution failed');
  expect(logged(['info', 'warn', 'error'])).not.toContain(PROMPT);
  expect(logged(['debug'])).toContain(PROMPT);
});

it('never shows the credentials of an engine', async () => {
  gateway = await startTestGateway({ API_KEYS, COMFYUI_URL: 'http://gpu:hunter2@127.0.0.1:9' });
  const query = '{ engines { id reason problems } workflows { problems } }';
  await expect
    .poll(async () => JSON.stringify((await askGraphQL(gateway.url, query, {}, as(KEYS.olga))).data))
    .toContain('"reason":"');
  for (const key of [KEYS.alice, KEYS.olga]) {
    expect(JSON.stringify((await askGraphQL(gateway.url, query, {}, as(key))).data)).not.toContain('hunter2');
  }
  expect(logged(['debug', 'info', 'warn', 'error'])).not.toContain('hunter2');
});
