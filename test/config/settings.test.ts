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
  ENGINE_WAKE_URL: { ENGINE_WAKE_SECRET: `whsec_${'A'.repeat(32)}` },
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
      for (const value of [low - 1, high + 1, low + 0.5, `0x${high.toString(16)}`, `${high}e0`, `+${high}`]) {
        const faults = [`${name}: takes an integer from ${low} to ${high}`];
        expect(readConfig({ [name]: String(value) })).toEqual({ ok: false, faults });
      }
    },
  );

  it('say which durations may be 0', () => {
    const names = facts.filter(({ range }) => range === 'up to `24d`').map(({ name }) => name);
    expect(names).toEqual(['ENGINE_IDLE', 'ENGINE_GRACE', 'MODEL_PATIENCE', 'SANDBOX_STEP', 'DRAIN_DELAY']);
  });

  it.each(
    facts
      .filter(({ takes, range }) => takes === 'duration' && range.startsWith('`'))
      .map(({ name, range }) => ({ name, least: range.split('`')[1] ?? '' })),
  )('$name takes $least and no less', ({ name, least }) => {
    expect(readConfig({ [name]: least })).toMatchObject({ ok: true });
    const [, digits, unit] = /^(\d+)(\w+)$/.exec(least) ?? [];
    const milliseconds = Number(digits) * (unit === 's' ? 1_000 : 1);
    const faults = [`${name}: takes at least ${least}`];
    for (const value of ['0', '0s', `${milliseconds - 1}ms`]) {
      expect(readConfig({ [name]: value })).toEqual({ ok: false, faults });
    }
  });

  it.each(facts.filter(({ range }) => range === 'up to `24d`'))(
    '$name takes 0 without a unit, and no other number',
    ({ name }) => {
      expect(readConfig({ [name]: '0' })).toMatchObject({ ok: true, config: { [name]: 0 } });
      const faults = [`${name}: takes a duration such as 500ms, 30s, 10m, 24h or 7d`];
      for (const value of ['00', '5', '-0'])
        expect(readConfig({ [name]: value })).toEqual({ ok: false, faults });
    },
  );
});

describe('ENGINE_WAKE_SECRET', () => {
  it('is required with ENGINE_WAKE_URL, and is none of WEBHOOK_SECRET', () => {
    const ENGINE_WAKE_URL = 'http://scaler.lan:9000/';
    const [one, other] = ['A', 'B'].map(letter => `whsec_${letter.repeat(32)}`);
    const faultsOf = (given: Record<string, string | undefined>) => {
      const result = readConfig({ ENGINE_WAKE_URL, ...given });
      return result.ok ? [] : result.faults;
    };
    expect(faultsOf({})).toEqual(['ENGINE_WAKE_SECRET: is required with ENGINE_WAKE_URL']);
    expect(faultsOf({ ENGINE_WAKE_SECRET: one, WEBHOOK_SECRET: other })).toEqual([]);
    expect(faultsOf({ ENGINE_WAKE_SECRET: one, WEBHOOK_SECRET: `${other},${one}` })).toEqual([
      'ENGINE_WAKE_SECRET: has a secret of WEBHOOK_SECRET; make another one',
    ]);
    for (const url of ['http://me:secret@scaler.lan', 'redis://scaler.lan', 'http://scaler.lan:6379']) {
      const [fault] = faultsOf({ ENGINE_WAKE_URL: url, ENGINE_WAKE_SECRET: one });
      expect(fault).toMatch(/^ENGINE_WAKE_URL: takes an http:\/\/ or https:\/\/ URL: /);
      expect(fault).not.toContain('secret@');
    }
  });
});

describe('COMFYUI_URL', () => {
  it.each([
    ['http://us:100%@gpu:8188/hunter2', 'takes credentials with reserved characters percent-encoded'],
    [
      'http://gpu:8188,dns+http://%zz:x@gpu:8188',
      'takes credentials with reserved characters percent-encoded',
    ],
    ['http://gpu:8188/?token=hunter2', 'takes a URL without a query and a fragment'],
    ['http://gpu:8188/#hunter2', 'takes a URL without a query and a fragment'],
    ['http://gpu:8188/comfy?', 'takes a URL without a query and a fragment'],
    ['http://one:8188,dns+http://two:8188?hunter2', 'takes a URL without a query and a fragment'],
  ])('%s is a fault without the URL', (COMFYUI_URL, fault) => {
    expect(readConfig({ COMFYUI_URL })).toEqual({ ok: false, faults: [`COMFYUI_URL: ${fault}`] });
  });

  it('takes credentials with a % that is percent-encoded', () => {
    expect(readConfig({ COMFYUI_URL: 'http://us:100%25@gpu:8188/comfy' })).toMatchObject({ ok: true });
  });
});

describe('FETCH_PROXY', () => {
  it('with credentials that are not percent-encoded is a fault without them', () => {
    const faults = ['FETCH_PROXY: takes credentials with reserved characters percent-encoded'];
    expect(readConfig({ FETCH_PROXY: 'http://us:hunter2%@proxy:3128' })).toEqual({ ok: false, faults });
  });
});

describe('METRICS_PORT', () => {
  it('is another port than PORT, unless both are free ones', () => {
    const faults = ['METRICS_PORT: is PORT; set it to another port, or unset it for /metrics on PORT'];
    expect(readConfig({ PORT: '8352', METRICS_PORT: '8352' })).toEqual({ ok: false, faults });
    expect(readConfig({ METRICS_PORT: '8189' })).toEqual({ ok: false, faults });
    expect(readConfig({ PORT: '0', METRICS_PORT: '0' })).toMatchObject({ ok: true });
  });
});

describe('HOST', () => {
  it('takes an IPv6 address with the brackets of a URL, too', () => {
    for (const HOST of ['[::1]', '::1']) {
      expect(readConfig({ HOST })).toMatchObject({ ok: true, config: { HOST: '::1' } });
    }
    expect(readConfig({ HOST: '[::]' })).toMatchObject({
      ok: false,
      faults: [expect.stringMatching(/^HOST: is not a loopback/)],
    });
  });
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
