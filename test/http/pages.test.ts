import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, validate } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSchema } from '../../src/graphql/schema.ts';
import { createGraphiql } from '../../src/http/graphql/graphiql.ts';
import { openDocs } from '../../src/http/rest/docs.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { startFace } from '../support/rest-face.ts';

const ORIGIN = 'https://app.example.com';
const SCRIPT = 'docs/static/swagger-ui-bundle.js';

describe('the files of a page', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ CORS_ORIGINS: ORIGIN });
  });
  afterAll(() => rig.close());
  const get = (headers: Record<string, string>) => fetch(`${rig.url}/${SCRIPT}`, { headers });

  it('that have no hash in their names are not sent again while they are the same', async () => {
    const first = await get({});
    await first.body?.cancel();
    const again = await get({ 'if-none-match': first.headers.get('etag') ?? '' });
    expect([again.status, first.headers.get('cache-control')]).toEqual([
      304,
      'public,max-age=0,must-revalidate',
    ]);
  });

  it('have the headers of every response, and vary by what they depend on', async () => {
    const answer = await get({ 'accept-encoding': 'gzip', origin: ORIGIN });
    await answer.body?.cancel();
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'access-control-allow-origin': ORIGIN,
      'content-encoding': 'gzip',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'x-content-type-options': 'nosniff',
      'x-request-id': expect.any(String),
      vary: 'Origin, accept-encoding',
    });
  });

  it.each(['bytes=5-2', 'bytes=0-1', 'bytes=x'])('come whole for the range %s', async range => {
    const answer = await get({ range, 'accept-encoding': 'identity' });
    expect(answer.status).toBe(200);
    const file = await readFile(`dist/pages/docs/${SCRIPT}`);
    expect(Buffer.from(await answer.arrayBuffer()).equals(file)).toBe(true);
  });
});

describe('/docs', () => {
  it('with a slash is sent to the path that the links of the page are relative to', async () => {
    const rig = await startRig();
    const page = await fetch(`${rig.url}/docs/`);
    expect([page.status, page.url]).toEqual([200, `${rig.url}/docs`]);
    await rig.close();
  });
});

describe('a page that was not built', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pages-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('/docs says how to build it, and the document is served', async () => {
    const face = await startFace({ docs: await openDocs(folder) });
    const answer = await fetch(`${face.url}/docs`);
    expect([answer.status, await answer.json()]).toEqual([
      404,
      { detail: 'The page is not built: npm run build:pages builds it. The document is at /openapi.json' },
    ]);
    expect((await fetch(`${face.url}/openapi.json`)).status).toBe(200);
    await face.stop();
  });

  it('GraphiQL is null', async () => {
    expect(await createGraphiql(folder)()).toBeNull();
  });
});

it('the first text in GraphiQL is valid', async () => {
  const text = await readFile('pages/graphiql/welcome.graphql', 'utf8');
  expect(validate(buildSchema(), parse(text)).map(error => error.message)).toEqual([]);
});
