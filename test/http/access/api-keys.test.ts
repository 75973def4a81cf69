import { execFile } from 'node:child_process';
import { createHash, scryptSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../../src/config.ts';
import { createKeyring, makeApiKey, parseApiKeys } from '../../../src/http/access/api-keys.ts';

const run = promisify(execFile);
const MAKE_KEY = fileURLToPath(new URL('../../../src/cli/make-key.ts', import.meta.url));

const sha256 = (key: string): string => `sha256$${createHash('sha256').update(key).digest('hex')}`;

function scrypted(key: string, cost = 1024): string {
  const salt = Buffer.alloc(16, 7);
  const digest = scryptSync(key, salt, 32, { N: cost, r: 8, p: 1 });
  return `scrypt$${cost}$8$1$${salt.toString('base64url')}$${digest.toString('base64url')}`;
}

function keysOf(text: string) {
  const parsed = parseApiKeys(text);
  if (!parsed.ok) throw new Error(parsed.fault);
  return parsed.value;
}

describe('API_KEYS', () => {
  it('finds the entry of a key by either hash', async () => {
    const ring = createKeyring(
      keysOf(`alice:${sha256('a')}, bob:${sha256('b')}:operator\ncarol:${scrypted('c')}:user,\n`),
    );
    expect(await ring.find('a')).toMatchObject({ name: 'alice', role: 'user' });
    expect(await ring.find('b')).toMatchObject({ name: 'bob', role: 'operator' });
    expect(await ring.find('c')).toMatchObject({ name: 'carol', role: 'user' });
    expect(await ring.find('c')).toMatchObject({ name: 'carol' });
    for (const wrong of ['', 'd', 'A', 'a ', 'x'.repeat(1000)]) expect(await ring.find(wrong)).toBeNull();
  });

  it('limits concurrent scrypt checks, except for keys that matched before', async () => {
    const ring = createKeyring(keysOf(`alice:${scrypted('right')}`));
    expect(await ring.find('right')).toMatchObject({ name: 'alice' });
    const guesses = Array.from({ length: 40 }, (_, n) => ring.find(`wrong ${n}`));
    expect(await ring.find('right')).toMatchObject({ name: 'alice' });
    const answers = await Promise.all(guesses);
    expect(answers.filter(answer => answer === 'busy')).toHaveLength(24);
    expect(answers.filter(answer => answer === null)).toHaveLength(16);
    expect(await ring.find('wrong again')).toBeNull();
  });

  it('accepts two keys with one name and role', async () => {
    const ring = createKeyring(keysOf(`alice:${sha256('old')},alice:${sha256('new')}`));
    expect(await ring.find('old')).toMatchObject({ name: 'alice' });
    expect(await ring.find('new')).toMatchObject({ name: 'alice' });
  });

  it.each([
    ['alice', /entry 1: the hash must be sha256/],
    [`a b:${sha256('a')}`, /entry 1 must be name:hash/],
    [`:${sha256('a')}`, /entry 1 must be name:hash/],
    [`alice:${sha256('a')}:admin`, /entry 1 must be name:hash/],
    [`alice:${sha256('a')}:user:x`, /entry 1 must be name:hash/],
    [`ok:${sha256('a')},alice:plain-secret`, /entry 2: the hash must be sha256\$<hex>/],
    ['alice:sha256$abc', /entry 1: the hash must be sha256/],
    [`alice:${scrypted('c').replace('$1024$', '$1000$')}`, /entry 1: the hash must be sha256/],
    [`alice:${scrypted('c').replace('$1024$', '$4194304$')}`, /entry 1: the hash must be sha256/],
    [`alice:${sha256('a')},alice:${sha256('b')}:operator`, /entry 2 repeats a name with another role/],
  ])('rejects %s without repeating it', (text, fault) => {
    const parsed = readConfig({ API_KEYS: text });
    expect(parsed).toMatchObject({ ok: false, faults: [expect.stringMatching(fault)] });
    expect(JSON.stringify(parsed)).not.toContain('plain-secret');
  });

  it('has a command with a help text, which makes no key that has expired', async () => {
    const { stdout } = await run(process.execPath, [MAKE_KEY, '--help']);
    for (const word of ['Usage: ', '--operator', '--engine', '--policy', '--until'])
      expect(stdout).toContain(word);
    await expect(run(process.execPath, [MAKE_KEY, 'olga', '--until', '2020-01-31'])).rejects.toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('--until takes a time to come: 2020-01-31 is over'),
    });
  });

  it('accepts the entry that the command prints', async () => {
    const { stdout } = await run(process.execPath, [MAKE_KEY, 'olga', '--operator']);
    const [key = '', entry = ''] = [...stdout.matchAll(/^ {2}(\S+)$/gm)].map(match => match[1] ?? '');
    expect(key).toMatch(/^qek_[\w-]{43}$/);
    expect(entry).not.toContain(key);
    expect(await createKeyring(keysOf(entry)).find(key)).toMatchObject({ name: 'olga', role: 'operator' });
    expect(makeApiKey('olga', 'user').key).not.toBe(key);
  });

  it('rejects invalid names when a key is made', async () => {
    await expect(run(process.execPath, [MAKE_KEY, 'a:b'])).rejects.toMatchObject({ code: 2 });
    await expect(run(process.execPath, [MAKE_KEY])).rejects.toMatchObject({ code: 2 });
  });
});

describe('listening beyond loopback', () => {
  const production = { HOST: '0.0.0.0' };
  it.each([
    [{}, false],
    [{ ALLOW_ANONYMOUS: '1' }, true],
    [{ API_KEYS: `alice:${sha256('a')}` }, true],
    [{ JWT_JWKS_URL: 'https://id.example/jwks', JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' }, true],
  ])('with %j is allowed: %s', (environment, ok) => {
    expect(readConfig({ ...production, ...environment }).ok).toBe(ok);
  });

  it.each([
    [
      { JWT_JWKS_URL: 'https://id.example/jwks', JWT_ISSUER: 'i' },
      'JWT_AUDIENCE: is required with JWT_JWKS_URL',
    ],
    [
      { JWT_JWKS_URL: 'https://id.example/jwks', JWT_AUDIENCE: 'a' },
      'JWT_ISSUER: is required with JWT_JWKS_URL',
    ],
    [{ JWT_ISSUER: 'i' }, 'JWT_JWKS_URL: is required with JWT_ISSUER and JWT_AUDIENCE'],
  ])('rejects incomplete token settings: %j', (environment, fault) => {
    expect(readConfig(environment)).toMatchObject({ ok: false, faults: [fault] });
  });
});
