import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStudio } from '../../src/http/studio.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS } from '../support/requests.ts';

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

describe('the page, with keys on', () => {
  let rig: Rig;
  let script: string;
  beforeAll(async () => {
    rig = await startRig({ API_KEYS });
    const html = await (await fetch(rig.url, { headers: { accept: BROWSER } })).text();
    script = /src="\.\/(studio\/assets\/[^"]+\.js)"/.exec(html)?.[1] ?? '';
  });
  afterAll(() => rig.close());

  it('is what browsers get at /, and everything else gets the documented JSON', async () => {
    const page = await fetch(rig.url, { headers: { accept: BROWSER } });
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('vary')).toBe('accept');
    expect(await page.text()).toContain('<title>Qwen Edit Studio</title>');
    const plain = await fetch(rig.url);
    expect(plain.headers.get('vary')).toBe('accept');
    expect(await plain.json()).toMatchObject({ message: 'Qwen Image Edit Plus API', status: 'running' });
  });

  it('is not sent again while it is the same', async () => {
    const etag = (await fetch(rig.url, { headers: { accept: BROWSER } })).headers.get('etag') ?? '';
    const again = await fetch(rig.url, { headers: { accept: BROWSER, 'if-none-match': etag } });
    expect([again.status, again.headers.get('cache-control')]).toEqual([304, 'no-cache']);
  });

  it.each(['br', 'gzip'])('has scripts that are cached for a year, compressed by %s', async encoding => {
    const answer = await fetch(`${rig.url}/${script}`, { headers: { 'accept-encoding': encoding } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-encoding')).toBe(encoding);
    expect(answer.headers.get('cache-control')).toBe('public,max-age=31536000,immutable');
    expect(answer.headers.get('vary')).toBe('accept-encoding');
    expect(await answer.text()).toContain('createElement');
  });

  it.each([
    'studio/assets/',
    'studio/assets/nothing.js',
    'studio/assets/..%2f..%2findex.html',
    'studio/assets/%2e%2e/%2e%2e/index.html',
  ])('serves nothing but its files: not /%s', async path => {
    expect((await fetch(`${rig.url}/${path}`)).status).toBe(404);
  });
});

describe('without the page', () => {
  it('STUDIO=0 sends browsers to /docs', async () => {
    const rig = await startRig({ STUDIO: '0' });
    const answer = await fetch(rig.url, { headers: { accept: BROWSER }, redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '/docs']);
    await rig.close();
  });

  it('one that was not built is null, and a broken folder is an error', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'studio-'));
    expect(await openStudio(folder)).toBeNull();
    await mkdir(join(folder, 'index.html'));
    await expect(openStudio(folder)).rejects.toThrow('EISDIR');
    await rm(folder, { recursive: true });
    await writeFile(folder, '');
    await expect(openStudio(folder)).rejects.toThrow('ENOTDIR');
    await rm(folder);
  });
});
