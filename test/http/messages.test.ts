import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Rig, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { postEdit, postGraphQL } from '../support/requests.ts';

const PUBLIC = 'https://edits.example.com';
const ALLOWED = 'https://app.example.com';

const log = recordLog();
let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ FETCH_ALLOW: '', PUBLIC_URL: PUBLIC, CORS_ORIGINS: ALLOWED }, log);
});
afterAll(() => rig.close());

const EDIT = `mutation ($input: EditImageInput!) {
  editImage(input: $input) { __typename ... on EditError { code message } }
}`;

describe('an error says what to do', () => {
  it.each([
    ['10.0.0.5', '10.0.0.5 is a private address'],
    ['localhost', 'localhost leads to a loopback address'],
  ])('about an image on %s, over REST and GraphQL', async (host, reason) => {
    const url = `http://${host}:8080/a.png`;
    const message = `${reason}: upload the image, or let the operator add the host to FETCH_ALLOW`;
    const rest = await postEdit(rig, { image1_url: url });
    expect(await rest.json()).toEqual({ detail: `Failed to download file from URL: ${message}` });
    const { data } = await postGraphQL(rig.url, EDIT, { input: { images: [{ url }], prompt: 'x' } });
    expect(data).toMatchObject({ editImage: { code: 'INPUT_BLOCKED', message } });
  });

  it.each([['abc'], [-1], [1.5], ['1e3']])('about the seed %j, over REST and GraphQL', async seed => {
    const message = `seed takes an integer from 0 to 18446744073709551615, as a number or a decimal string, got ${JSON.stringify(seed)}`;
    const rest = await postEdit(rig, { seed });
    expect(await rest.json()).toEqual({ detail: message });
    const input = { images: [{ url: 'https://example.com/a.png' }], prompt: 'x', seed };
    const { data } = await postGraphQL(rig.url, EDIT, { input });
    expect(data).toMatchObject({ editImage: { code: 'INVALID_INPUT', message } });
  });
});

describe('the origin of a page that may not use the gateway', () => {
  const logged = () =>
    log.lines.flatMap(({ level, message, fields }) =>
      /^a page of another origin/.test(message) ? [{ level, message, ...fields }] : [],
    );
  const get = async (origin: string) =>
    (await fetch(`${rig.url}/jobs`, { headers: { origin } })).body?.cancel();

  it('is logged once with the remedy, over HTTP and WebSocket', async () => {
    for (const origin of ['https://one.example', 'https://one.example', 'null']) await get(origin);
    for (const origin of ['https://one.example', 'https://two.example']) {
      const socket = new WebSocket(`${rig.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
        origin,
      });
      await once(socket, 'error');
    }
    const remedy = 'add its origin to CORS_ORIGINS if it may use the gateway';
    const line = (origin: string, what = remedy) => ({
      level: 'warn',
      message: `a page of another origin was rejected: ${what}`,
      origin,
    });
    expect(logged()).toEqual([
      line('https://one.example'),
      line('null', 'a page from a file or a sandboxed frame has no origin: serve it over http'),
      line('https://two.example'),
    ]);
  });

  it('is not logged for pages that may, nor for more than 100 origins', async () => {
    const before = logged().length;
    for (const origin of [ALLOWED, PUBLIC, rig.url]) await get(origin);
    expect(logged()).toHaveLength(before);
    for (let number = 0; number < 110; number += 1) await get(`https://p${number}.example`);
    expect(logged()).toHaveLength(100);
  });
});
