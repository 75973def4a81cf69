import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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

it('a file of a page that was removed since the start breaks off its own response only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pages-'));
  await cp('dist/pages/docs', folder, { recursive: true });
  const face = await startFace({ docs: await openDocs(folder) });
  await rm(join(folder, SCRIPT));
  const headers = { 'accept-encoding': 'identity' };
  await expect(fetch(`${face.url}/${SCRIPT}`, { headers })).rejects.toThrow('fetch failed');
  expect(face.lines).toContainEqual(
    expect.objectContaining({ level: 'error', message: 'a file of a page cannot be read' }),
  );
  const other = await fetch(`${face.url}/docs/static/swagger-ui.css`, { headers });
  const file = await readFile(join(folder, 'docs/static/swagger-ui.css'));
  expect([other.status, Buffer.from(await other.arrayBuffer()).equals(file)]).toEqual([200, true]);
  await face.stop();
  await rm(folder, { recursive: true });
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

  it('GraphiQL is null until it is built, and is read once then', async () => {
    const getGraphiql = createGraphiql(folder);
    expect(await getGraphiql()).toBeNull();
    const file = join(folder, 'index.html');
    await mkdir(file);
    await expect(getGraphiql()).rejects.toThrow('EISDIR');
    await rm(file, { recursive: true });
    await writeFile(file, 'built');
    const page = await getGraphiql();
    expect(page?.html.toString()).toBe('built');
    await rm(file);
    expect(await getGraphiql()).toBe(page);
  });
});

it('the first text in GraphiQL is valid', async () => {
  const text = await readFile('pages/graphiql/welcome.graphql', 'utf8');
  expect(validate(buildSchema(), parse(text)).map(error => error.message)).toEqual([]);
});
