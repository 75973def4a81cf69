import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchJson } from '../../support/requests.ts';
import { type Face, startFace } from '../../support/rest-face.ts';

describe('GET /', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  it.each([
    undefined,
    '*/*',
    'application/json',
    'application/json, text/plain, */*',
    'text/html, application/json',
    'application/json;q=0.9, text/html;q=0.1',
    'text/html;q=0',
    'text/*',
  ])('sends the status for Accept: %s', async accept => {
    const answer = await fetchJson(`${face.url}/`, accept === undefined ? {} : { headers: { accept } });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      message: 'Qwen Image Edit Plus API',
      status: 'running',
      version: '2.0.0',
      features: ['multi-image-support', 'nunchaku-optimization'],
      engine: 'comfyui',
    });
  });

  it.each([
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
    'text/html',
    'TEXT/HTML; q=0.5, application/json; q=0.1',
  ])('redirects a browser (Accept: %s) to /docs', async accept => {
    const response = await fetch(`${face.url}/`, { headers: { accept }, redirect: 'manual' });
    expect(response.status).toBe(302);
    expect(response.headers.get('location')).toBe('/docs');
    expect(response.headers.get('vary')).toBe('accept');
  });

  it('answers HEAD without a body', async () => {
    const response = await fetch(`${face.url}/`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('');
  });
});
