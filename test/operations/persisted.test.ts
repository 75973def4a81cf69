import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../support/gateway.ts';
import { codesOf, openSocket } from '../support/sockets.ts';

const MANIFEST = new URL('../../schema/persisted-documents.json', import.meta.url);

let rigs: Record<'off' | 'on' | 'only', Rig>;
let jobs: { hash: string; text: string };
beforeAll(async () => {
  const manifest = z.record(z.string(), z.string()).parse(JSON.parse(await readFile(MANIFEST, 'utf8')));
  const [hash = '', text = ''] =
    Object.entries(manifest).find(([, document]) => document.startsWith('query Jobs(')) ?? [];
  jobs = { hash, text };
  const start = (PERSISTED_DOCUMENTS: string) => startRig({ PERSISTED_DOCUMENTS });
  rigs = { off: await start('off'), on: await start('on'), only: await start('only') };
});
afterAll(async () => {
  for (const rig of Object.values(rigs)) await rig.close();
});

/** `data`, or the code of the first error, and that HTTP and WebSocket say the same. */
async function outcome(mode: keyof typeof rigs, params: object): Promise<string | undefined> {
  const { url } = rigs[mode];
  const http = await (
    await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(params),
    })
  ).json();
  const overHttp = http.data == null ? http.errors[0].extensions?.code : 'data';
  const socket = await openSocket(url);
  // A subscribe message without a query breaks the protocol: the server closes the socket.
  const message = await socket
    .run(params)
    .catch(async () => ({ type: 'closed', payload: (await socket.closed).code }));
  socket.socket.close();
  const overSocket =
    message.type === 'closed'
      ? `closed ${message.payload}`
      : message.type === 'next' && JSON.stringify(message.payload).includes('"data":{')
        ? 'data'
        : codesOf(message)[0];
  if ('query' in params) expect(overSocket).toBe(overHttp);
  return overHttp;
}

const UNKNOWN = `sha256:${'0'.repeat(64)}`;

describe('persisted documents', () => {
  it('are the operations of the schema folder', () => {
    expect(jobs.hash).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(jobs.text).toContain('fragment JobSnapshot on EditJob');
  });

  it.each(['on', 'only'] as const)('are executed by their hash in mode %s', async mode => {
    expect(await outcome(mode, { documentId: jobs.hash })).toBe('data');
    const extensions = { persistedQuery: { version: 1, sha256Hash: jobs.hash.slice('sha256:'.length) } };
    expect(await outcome(mode, { extensions })).toBe('data');
    // Over a socket the protocol asks for a query, which may be empty.
    expect(await outcome(mode, { query: '', documentId: jobs.hash })).toBe('data');
  });

  it.each(['on', 'only'] as const)('are not found by another hash in mode %s', async mode => {
    expect(await outcome(mode, { documentId: UNKNOWN })).toBe('PERSISTED_DOCUMENT_NOT_FOUND');
    expect(await outcome(mode, { query: '', documentId: UNKNOWN })).toBe('PERSISTED_DOCUMENT_NOT_FOUND');
    expect(await outcome(mode, { documentId: 'constructor' })).toBe('PERSISTED_DOCUMENT_NOT_FOUND');
  });

  it('exclude all other documents in mode only', async () => {
    const other = { query: '{ engines { id } }' };
    expect(await outcome('off', other)).toBe('data');
    expect(await outcome('on', other)).toBe('data');
    expect(await outcome('only', other)).toBe('PERSISTED_DOCUMENTS_ONLY');
    expect(await outcome('only', { query: '{ not GraphQL' })).toBe('PERSISTED_DOCUMENTS_ONLY');
  });

  it('are recognised by their text, whatever its formatting and order', async () => {
    expect(await outcome('only', { query: jobs.text })).toBe('data');
    const [operation = '', fragment = ''] = jobs.text.split(/(?=fragment JobSnapshot on)/);
    expect(
      await outcome('only', { query: `# laid out\n${fragment}   ${operation.replaceAll('\n', '\r\n')}` }),
    ).toBe('data');
    expect(await outcome('only', { query: jobs.text.replace('pageInfo', '__typename pageInfo') })).toBe(
      'PERSISTED_DOCUMENTS_ONLY',
    );
  });

  it('are found by GET', async () => {
    const asked = async (mode: keyof typeof rigs, hash: string) => {
      const url = `${rigs[mode].url}/graphql?documentId=${encodeURIComponent(hash)}`;
      return (await fetch(url)).json();
    };
    expect((await asked('only', jobs.hash)).data).toHaveProperty('jobs');
    expect((await asked('on', jobs.hash)).data).toHaveProperty('jobs');
    expect((await asked('only', UNKNOWN)).errors[0].extensions.code).toBe('PERSISTED_DOCUMENT_NOT_FOUND');
  });

  it('do not execute a text under the hash of another', async () => {
    const extensions = { persistedQuery: { version: 1, sha256Hash: jobs.hash.slice('sha256:'.length) } };
    expect(await outcome('only', { query: '{ engines { id } }', extensions })).toBe(
      'PERSISTED_DOCUMENTS_ONLY',
    );
  });
});
