import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StoreUnavailable } from '../../../src/jobs/errors.ts';
import type { Ledger } from '../../../src/jobs/ports.ts';
import { startImageServer } from '../../support/image-server.ts';
import { ANNOUNCED, fetchJson, postJson, postTooMuch } from '../../support/requests.ts';
import { type Face, startFace } from '../../support/rest-face.ts';

const ID = '6f1f5a0e-6d0c-4a52-9d7b-0d6f3a0a4b11';

describe('errors', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  it('are 404 for an unknown path', async () => {
    const answer = await fetchJson(`${face.url}/nowhere?x=1`);
    expect(answer).toMatchObject({
      status: 404,
      body: { detail: 'There is nothing at /nowhere, see /docs' },
    });
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  });

  it.each([
    ['PUT', '/edit-image', 'POST'],
    ['GET', '/edit-image', 'POST'],
    ['POST', `/status/${ID}`, 'GET, HEAD'],
    ['DELETE', `/download/${ID}`, 'GET, HEAD'],
    ['PATCH', '/jobs', 'GET, HEAD'],
    ['GET', `/jobs/${ID}`, 'DELETE'],
    ['POST', '/', 'GET, HEAD'],
    ['POST', `/debug/job/${ID}`, 'GET, HEAD'],
    ['PROPFIND', '/debug/files', 'GET, HEAD'],
  ])('are 405 for %s %s, with Allow', async (method, path, allow) => {
    const init =
      method === 'GET'
        ? { method }
        : { method, body: '{ not JSON', headers: { 'content-type': 'application/json' } };
    const answer = await fetchJson(face.url + path, init);
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe(allow);
    expect(answer.body).toEqual({ detail: `${path} takes ${allow}, got ${method}` });
  });

  it.each([
    ['/status/', 'GET'],
    ['/download/', 'GET'],
    ['/input/', 'GET'],
    ['/preview/', 'GET'],
    ['/jobs/', 'DELETE'],
    ['/debug/job/', 'GET'],
  ])('are 404 for unknown and malformed job ids under %s', async (path, method) => {
    for (const id of [
      ID,
      'x',
      'a%2Fb',
      '..%2F..%2Fetc',
      'a%00b',
      '%20',
      'é',
      'x'.repeat(150),
      'x'.repeat(5000),
    ]) {
      const answer = await fetchJson(`${face.url}${path}${id}`, { method });
      expect({ id, status: answer.status, body: answer.body }).toEqual({
        id,
        status: 404,
        body: { detail: 'Job not found' },
      });
    }
  });

  it('are 400 for an invalid percent encoding', async () => {
    const answer = await fetchJson(`${face.url}/status/%zz`);
    expect(answer.status).toBe(400);
    expect(Object.keys(answer.body)).toEqual(['detail']);
  });

  it('are 400 for bytes that are not HTTP', async () => {
    const socket = connect(Number(new URL(face.url).port), '127.0.0.1');
    socket.end('HELLO\r\n\r\n');
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answer.split('\r\n\r\n')[1]).toBe('{"detail":"This is not an HTTP request"}');
  });

  it.each([
    ['application/x-www-form-urlencoded', 'application/x-www-form-urlencoded'],
    ['text/plain', 'text/plain'],
    ['application/json-seq', 'application/json-seq'],
    ['nonsense', 'nonsense'],
    [undefined, 'no Content-Type'],
  ])('are 415 for a body of type %s, naming the right one', async (type, got) => {
    const body = new TextEncoder().encode('{"image1_url": "x", "prompt": "y"}');
    const answer = await fetchJson(`${face.url}/edit-image`, {
      method: 'POST',
      body,
      headers: type === undefined ? {} : { 'content-type': type },
    });
    expect(answer).toMatchObject({
      status: 415,
      body: {
        detail:
          'Send the body as JSON with the header Content-Type: application/json ' +
          `(curl: -H "Content-Type: application/json"), got ${got}`,
      },
    });
  });

  it('accept JSON with a charset', async () => {
    const answer = await postJson(
      `${face.url}/edit-image`,
      {},
      { 'content-type': 'Application/JSON; charset=UTF-8' },
    );
    expect(answer).toMatchObject({
      status: 400,
      body: { detail: 'Both image1_url and prompt are required' },
    });
  });

  it.each([
    ['{"prompt": "x",}', /^The body is not valid JSON: .*position 15/],
    ['[]', /^The body takes a JSON object, got a list$/],
    ['{"__proto__": {}}', /^The body has a key __proto__/],
  ])('are 400 for the body %s', async (body, detail) => {
    const answer = await postJson(`${face.url}/edit-image`, body);
    expect(answer).toMatchObject({ status: 400, body: { detail: expect.stringMatching(detail) } });
  });

  it('do not come from bodies that a route ignores', async () => {
    for (const body of ['{', '', '{}']) {
      const answer = await fetchJson(`${face.url}/jobs/${ID}`, {
        method: 'DELETE',
        body,
        headers: { 'content-type': 'application/json' },
      });
      expect(answer).toMatchObject({ status: 404, body: { detail: 'Job not found' } });
    }
  });

  it.each([
    ['announced', ANNOUNCED, 'The body takes at most 1 MiB, got 3 GiB'],
    ['sent in chunks', {}, 'The body takes at most 1 MiB'],
  ])('are 413 for a body of 3 GB, %s, which is not held in memory', async (_, length, detail) => {
    const before = process.memoryUsage.rss();
    const { sent, ...answer } = await postTooMuch(`${face.url}/edit-image`, length);
    expect(answer).toEqual({ status: 413, connection: 'close', body: { detail } });
    expect(sent).toBeLessThan(100 * 1024 ** 2);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 ** 2);
  });

  it('tell a body that is a little too large by its bytes', async () => {
    const body = JSON.stringify({ prompt: 'x'.repeat(1024 ** 2 - 12) });
    expect(await postJson(`${face.url}/edit-image`, body)).toMatchObject({
      status: 413,
      body: { detail: 'The body takes at most 1 MiB (1048576 bytes), got 1048577 bytes' },
    });
  });
});

describe('internal errors', () => {
  it('are 503 with Retry-After while the store is unavailable', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' });
    const face = await startFace({ wrap: ledger => failing(ledger, refused) });
    try {
      for (const path of [`/status/${ID}`, `/download/${ID}`, '/jobs', '/debug/files']) {
        const answer = await fetchJson(face.url + path);
        expect(answer).toMatchObject({
          status: 503,
          body: { detail: 'The store of jobs and images is unavailable, try again later' },
        });
        expect(answer.headers.get('retry-after')).toBe('5');
      }
      expect(JSON.stringify(face.lines)).toContain('ECONNREFUSED');
    } finally {
      await face.stop();
    }
  });

  it('are 503 when an input image cannot be stored, and leave nothing behind', async () => {
    const pictures = await startImageServer();
    const face = await startFace({
      wrapBytes: files => ({
        ...files,
        // Stores late, so that it could finish after the cleanup.
        async put(key, source) {
          if (key.includes('-2.')) throw new StoreUnavailable('the bucket is away', 'ECONNREFUSED');
          await setImmediate();
          return files.put(key, source);
        },
      }),
    });
    try {
      const image = `${pictures.url}/cat.png`;
      const answer = await postJson(`${face.url}/edit-image`, {
        image1_url: image,
        image2_url: image,
        prompt: 'x',
      });
      expect(answer).toMatchObject({
        status: 503,
        body: { detail: 'The store of jobs and images is unavailable, try again later' },
      });
      expect(answer.headers.get('retry-after')).toBe('5');
      expect(await face.artifacts.list('')).toEqual([]);
      expect(await face.ledger.count()).toEqual({ waiting: 0, running: 0 });
    } finally {
      await face.stop();
      await pictures.close();
    }
  });

  it('are masked by a reference to the log', async () => {
    const face = await startFace({ wrap: ledger => failing(ledger, new TypeError('secret detail')) });
    try {
      const answer = await fetchJson(`${face.url}/status/${ID}`);
      expect(answer.status).toBe(500);
      expect(answer.body).toEqual({
        detail: expect.stringMatching(/^Internal error, reference [0-9a-f-]{36}$/),
      });
      const reference = String(answer.body.detail).slice(-36);
      expect(face.lines).toEqual([
        {
          level: 'error',
          message: 'a request failed',
          fields: {
            requestId: expect.any(String),
            method: 'GET',
            route: '/status/:job_id',
            reference,
            err: expect.objectContaining({ name: 'TypeError', message: 'secret detail' }),
          },
        },
      ]);
    } finally {
      await face.stop();
    }
  });
});

/** A store whose reads reject. */
function failing(ledger: Ledger, error: Error): Ledger {
  const reject = () => Promise.reject(error);
  return { ...ledger, get: reject, list: reject };
}
