import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeSettings } from '../../src/config/describe.ts';
import { settings } from '../../src/config/settings.ts';
import { readConfig } from '../../src/config.ts';

const facts = describeSettings().flatMap(subject => subject.settings);

/** Settings that are valid only with others. */
const NEEDS: Readonly<Record<string, Record<string, string>>> = {
  HOST: { ALLOW_ANONYMOUS: '1' },
  JWT_JWKS_URL: { JWT_ISSUER: 'i', JWT_AUDIENCE: 'a' },
  JWT_ISSUER: { JWT_JWKS_URL: 'https://id.example/jwks', JWT_AUDIENCE: 'a' },
  JWT_AUDIENCE: { JWT_JWKS_URL: 'https://id.example/jwks', JWT_ISSUER: 'i' },
  ENGINE_KEYS: { ENGINE_ALLOW: 'gpu.lan' },
  ENGINE_CREDENTIALS: { GPU_TOKEN: 'secret' },
  EVENT_CHANNEL: { REDIS_URL: 'redis://127.0.0.1' },
  NODE_ENV: { COMFYUI_URL: 'http://127.0.0.1:8188' },
};

describe('the facts of the settings', () => {
  it('are there for every setting, once', () => {
    expect(facts.map(({ name }) => name).toSorted()).toEqual(Object.keys(settings).toSorted());
  });

  it.each(facts.filter(({ name }) => !name.endsWith('_CA_FILE')))(
    '$name takes its example, $example',
    ({ name, example }) => {
      expect(readConfig({ ...NEEDS[name], [name]: example })).toMatchObject({ ok: true });
    },
  );

  it.each(facts.filter(({ fallback }) => fallback !== null))(
    '$name takes its default, $fallback',
    ({ name, fallback }) => {
      // As text, because a parsed allow list is made of functions.
      const given = readConfig({ [name]: fallback ?? '' });
      expect(JSON.stringify(given)).toBe(JSON.stringify(readConfig({})));
    },
  );

  it.each(facts.filter(({ takes }) => takes === 'integer'))(
    '$name takes $range and nothing beyond',
    ({ name, range }) => {
      const [low = 0, high = 0] = range.split(' to ').map(Number);
      for (const value of [low, high]) expect(readConfig({ [name]: String(value) }).ok).toBe(true);
      for (const value of [low - 1, high + 1, low + 0.5]) {
        const faults = [`${name}: takes an integer from ${low} to ${high}`];
        expect(readConfig({ [name]: String(value) })).toEqual({ ok: false, faults });
      }
    },
  );
});

describe('the README', () => {
  it('has ten settings, and the rest are in docs/configuration.md', () => {
    const page = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
    const rows = [...page('README.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, name]) => name);
    expect(rows).toHaveLength(10);
    const all = [...page('docs/configuration.md').matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(
      ([, name]) => name,
    );
    expect(all).toEqual(facts.map(({ name }) => name));
  });
});

describe('settings that are parsed at the start', () => {
  it.each([
    ['CORS_ORIGINS', 'nonsense', 'takes origins such as'],
    ['FETCH_ALLOW', 'ok.test, http://', 'takes hosts, addresses and CIDRs'],
    ['REDIS_URL', 'redis://a,b', 'takes one host'],
    ['REDIS_URL', 'redis+sentinel://a', 'takes the name of the master'],
    ['REDIS_CA_FILE', '/nowhere/ca.pem', 'cannot read /nowhere/ca.pem: there is no such file'],
    ['PERSISTED_DOCUMENTS_FILE', '/', 'cannot read /: it is a folder'],
  ])('%s=%s is a fault of the settings', (name, value, fault) => {
    const faults = [expect.stringContaining(`${name}: ${fault}`)];
    expect(readConfig({ [name]: value })).toEqual({ ok: false, faults });
  });
});
