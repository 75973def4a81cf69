import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

describe('a manifest', () => {
  const TEXT = 'query Engines {\n  engines {\n    id\n  }\n}\n';
  const MD5 = createHash('md5').update(TEXT).digest('hex');
  const SHA1 = createHash('sha1').update(TEXT).digest('hex');
  const SHA256 = createHash('sha256').update(TEXT).digest('hex');
  const operation = { id: SHA256, name: 'Engines', type: 'query', body: TEXT };
  const apollo = (...operations: object[]) => ({
    format: 'apollo-persisted-query-manifest',
    version: 1,
    operations,
  });
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'manifests-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function start(manifest: unknown): Promise<Rig> {
    const path = join(folder, 'manifest.json');
    await writeFile(path, typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
    return startRig({ PERSISTED_DOCUMENTS: 'only', PERSISTED_DOCUMENTS_FILE: path });
  }

  it.each([
    ['of relay-compiler, by MD5', { [MD5]: TEXT }, { documentId: MD5 }],
    ['of relay-compiler, by SHA-1', { [SHA1]: TEXT }, { documentId: SHA1.toUpperCase() }],
    ['of relay-compiler, by SHA-256', { [SHA256]: TEXT }, { documentId: `sha256:${SHA256}` }],
    [
      'of Apollo, by its hash',
      apollo(operation),
      { extensions: { persistedQuery: { version: 1, sha256Hash: SHA256 } } },
    ],
    [
      'of Apollo, by an id that is no hash',
      apollo({ ...operation, id: 'app/Engines' }),
      { extensions: { persistedQuery: { version: 1, sha256Hash: 'app/Engines' } } },
    ],
  ])('%s, serves its documents by their ids and texts, and no others', async (_, manifest, request) => {
    const rig = await start(manifest);
    const ask = async (body: object) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${rig.url}/graphql`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      });
      const { data, errors } = await answer.json();
      return data?.engines?.length ?? errors[0].extensions.code;
    };
    try {
      expect(await ask(request)).toBe(1);
      expect(await ask({ query: 'query Engines { engines { id } }' })).toBe(1);
      expect(await ask({ query: '{ engines { state } }' })).toBe('PERSISTED_DOCUMENTS_ONLY');
      expect(await ask({ documentId: 'x' })).toBe('PERSISTED_DOCUMENT_NOT_FOUND');
      expect(await ask({ documentId: 7 })).toBe('PERSISTED_DOCUMENT_NOT_FOUND');
    } finally {
      await rig.close();
    }
  });

  it.each<[string, unknown, RegExp]>([
    ['text', 'query { a }', /takes a JSON object of documents by their hash, .* got what is not JSON/],
    ['a list', [TEXT], /takes a JSON object .* got \[/],
    ['a key that is no hash', { Engines: TEXT }, /"Engines" is not an MD5, SHA-1 or SHA-256 hash/],
    ['the hash of another text', { [MD5]: `${TEXT} ` }, /"\w{32}" is not the hash of its document/],
    ['a document that is no text', { [MD5]: 7 }, /takes the text of a document, got 7/],
    [
      'another format',
      { format: 'x', version: 1, operations: [] },
      /format is not as in version 1 of apollo/,
    ],
    ['a later version', { ...apollo(), version: 2 }, /version is not as in version 1/],
    [
      'an operation without a body',
      apollo({ id: 'a', name: 'a', type: 'query' }),
      /operations\.0\.body is not/,
    ],
    [
      'an operation of another name',
      apollo({ ...operation, name: 'Other' }),
      /body of ".+ is not the query Other/,
    ],
    ['an operation that is not GraphQL', apollo({ ...operation, body: '{' }), /is not valid: Syntax Error/],
    [
      'one id for two documents',
      apollo(operation, { ...operation, body: TEXT.replace('id', 'state') }),
      /is there with two documents/,
    ],
    [
      'a document that is too long',
      apollo({ ...operation, body: TEXT + '#'.repeat(65_536) }),
      /has 65\d+ characters, at most 65536 are read/,
    ],
  ])('with %s is rejected at the start, with what is wrong', async (_, manifest, message) => {
    await expect(start(manifest)).rejects.toThrow(message);
    await expect(start(manifest)).rejects.toThrow(/^PERSISTED_DOCUMENTS_FILE: .*manifest\.json: /);
  });
});
