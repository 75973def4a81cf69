import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Rig, startGatewayProcess, startRig } from '../../support/gateway.ts';
import { fetchJson, submit } from '../../support/requests.ts';

const ACCEPT = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
const PING = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ CORS_ORIGINS: 'https://app.example.com', MAX_IMAGE_BYTES: '128KiB' });
});
afterAll(() => rig.close());

const post = (body: string, headers: Record<string, string> = {}) =>
  fetch(`${rig.url}/mcp`, { method: 'POST', headers: { ...ACCEPT, ...headers }, body });

describe('/mcp', () => {
  it('answers any request by itself, without a session', async () => {
    const answer = await post(JSON.stringify(PING));
    expect([answer.status, answer.headers.get('x-accel-buffering')]).toEqual([200, 'no']);
    expect(await answer.text()).toContain('"name":"edit_image"');
  });

  it.each([
    ['a page of another origin', { origin: 'https://evil.example' }, 403],
    ['a page without an origin', { origin: 'null' }, 403],
    ['a page of an allowed origin', { origin: 'https://app.example.com' }, 200],
  ])('called by %s', async (_, headers: Record<string, string>, status) => {
    const answer = await post(JSON.stringify(PING), headers);
    expect(answer.status).toBe(status);
    await answer.text();
  });

  it('is not reached by a name that another site makes resolve to this machine', async () => {
    const { port } = new URL(rig.url);
    const call = request({
      port,
      path: '/mcp',
      method: 'POST',
      headers: { ...ACCEPT, host: `evil.example:${port}` },
    });
    call.end(JSON.stringify(PING));
    const [answer] = await once(call, 'response');
    expect(answer.statusCode).toBe(403);
    answer.resume();
  });

  it.each([
    ['text that is not JSON', '{"jsonrpc"', /not valid JSON/],
    ['a key that changes prototypes', '{"__proto__": {}}', /__proto__/],
    ['a batch, which the protocol no longer has', JSON.stringify([PING]), /takes a JSON object, got a list/],
    ['no message', '{}', /Invalid|JSON-RPC/],
  ])('rejects %s', async (_, body, message) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      jsonrpc: '2.0',
      error: { message: expect.stringMatching(message) },
    });
  });

  it('rejects other methods, other types and bodies that are too large', async () => {
    for (const method of ['GET', 'DELETE', 'PUT']) {
      const answer = await fetch(`${rig.url}/mcp`, { method });
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
      await answer.text();
    }
    const form = await post('a=b', { 'content-type': 'text/plain' });
    expect(form.status).toBe(415);
    await form.text();
    const large = await post(JSON.stringify({ ...PING, padding: 'x'.repeat(2_000_000) }));
    expect(large.status).toBe(413);
    await large.text();
  });

  it('cancels the job of a call whose connection closes', async () => {
    const leave = new AbortController();
    const params = {
      name: 'edit_image',
      arguments: { images: [`${rig.images.url}/red.png`], prompt: 'x', steps: 100 },
      _meta: { progressToken: 1 },
    };
    const answer = await fetch(`${rig.url}/mcp`, {
      method: 'POST',
      headers: ACCEPT,
      body: JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params }),
      signal: leave.signal,
    });
    const chunks = answer.body?.getReader();
    await chunks?.read();
    leave.abort();
    const newest = async () => {
      const { body } = await fetchJson(`${rig.url}/jobs?limit=1`);
      const [id = ''] = Object.keys(Object(body.jobs));
      return (await fetchJson(`${rig.url}/status/${id}`)).body.error_code;
    };
    await expect.poll(newest).toBe('CANCELED');
  });

  it('cancels only the call of the same session', async () => {
    const id = await submit(rig, { steps: 100, megapixels: 4 });
    const call = { name: 'watch_edit', arguments: { job_id: id } };
    const watching = await post(
      JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: call }),
      {
        'mcp-session-id': 'mine',
      },
    );
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } };
    const other = await post(JSON.stringify(cancel), { 'mcp-session-id': 'another' });
    expect(other.status).toBe(202);
    expect(await watching.text()).toContain('"status":"completed"');
  });
});

it('a gateway that stops sends the results of calls in flight, and their jobs go on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const settings = { SANDBOX_STEP: '200ms', LOG_LEVEL: 'info' };
  const first = await startGatewayProcess(folder, settings);
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', first.url)));
  const started = Promise.withResolvers<void>();
  const call = client.callTool(
    {
      name: 'edit_image',
      arguments: { images: [`${rig.images.url}/red.png`], prompt: 'x', megapixels: 0.1 },
    },
    { onprogress: ({ progress }) => (progress > 0 ? started.resolve() : undefined) },
  );
  await started.promise;
  const ended = first.end('SIGTERM');
  const { structuredContent, content } = await call;
  expect(content).toMatchObject([{ text: expect.stringContaining('watch_edit') }]);
  const { job_id } = Object(structuredContent);
  expect(await ended).not.toBe(1);
  const second = await startRig({ DATA_DIR: folder, SANDBOX_STEP: '5ms' });
  onTestFinished(() => second.close());
  const { body } = await fetchJson(`${second.url}/status/${job_id}`);
  expect(['queued', 'processing', 'completed']).toContain(body.status);
});
