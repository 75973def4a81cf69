import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { createImageLoader } from '../../src/images/loader.ts';
import { judgeAddress } from '../../src/outbound/address.ts';
import { parseAllowList } from '../../src/outbound/allow-list.ts';
import { BLOCKED, HOSTILE, NAMES } from '../support/outbound/hostile-urls.ts';

const OPTIONS = { allow: parseAllowList(''), maxBytes: 1024, maxPixels: 1e6, totalTimeoutMs: 2_000 };
const toAnswer = (address: string) => ({ address, family: address.includes(':') ? 6 : 4 });

const loader = createImageLoader({
  ...OPTIONS,
  lookup: async host => (NAMES[host.toLowerCase()] ?? []).map(toAnswer),
});
afterAll(() => loader.close());

describe('hostile URLs', () => {
  it('are at least 120', () => expect(HOSTILE.length).toBeGreaterThanOrEqual(120));

  it.each(HOSTILE)('%.80s is rejected as %s', async (url, code) => {
    const result = await loader.fromUrl(url);
    expect(result.ok ? 'taken' : result.failure.code, result.ok ? '' : result.failure.message).toBe(code);
  });

  it('rejects any private IPv4 address in any spelling', async () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const inside = fc.oneof(
      fc.tuple(fc.constant(10), octet, octet, octet),
      fc.tuple(fc.constant(127), octet, octet, octet),
      fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), octet, octet),
      fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
      fc.tuple(fc.constant(169), fc.constant(254), octet, octet),
      fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), octet, octet),
    );
    type Octets = readonly [number, number, number, number];
    const number = (octets: readonly number[]) => octets.reduce((sum, part) => sum * 256 + part, 0);
    const groups = (o: readonly number[]) =>
      `${o.slice(0, 2).map(hex).join('')}:${o.slice(2).map(hex).join('')}`;
    const spell = fc.constantFrom(
      (o: Octets) => o.join('.'),
      (o: Octets) => `${o.join('.')}.`,
      (o: Octets) => o.map(part => `0x${part.toString(16)}`).join('.'),
      (o: Octets) => o.map(part => `0${part.toString(8)}`).join('.'),
      (o: Octets) => `${o[0]}.0x${o[1].toString(16)}.0${o[2].toString(8)}.${o[3]}`,
      (o: Octets) => String(number(o)),
      (o: Octets) => `0x${number(o).toString(16)}`,
      (o: Octets) => `0${number(o).toString(8)}`,
      (o: Octets) => `${o[0]}.${number(o.slice(1))}`,
      (o: Octets) => `${o[0]}.${o[1]}.${number(o.slice(2))}`,
      (o: Octets) => encodeURIComponent(o.join('.')).replace(/\d/g, digit => `%3${digit}`),
      (o: Octets) => o.join('.').replace(/\d/g, digit => String.fromCharCode(0xff10 + Number(digit))),
      (o: Octets) => `[::${o.join('.')}]`,
      (o: Octets) => `[::ffff:${o.join('.')}]`,
      (o: Octets) => `[::ffff:${groups(o)}]`,
      (o: Octets) => `[::ffff:0:${o.join('.')}]`,
      (o: Octets) => `[64:ff9b::${o.join('.')}]`,
      (o: Octets) => `[64:ff9b:1::${groups(o)}]`,
      (o: Octets) => `[2002:${groups(o)}::1]`,
      (o: Octets) => `[2001:0:${groups(o)}::1]`,
      (o: Octets) => `[2606:4700::5efe:${groups(o)}]`,
    );
    await fc.assert(
      fc.asyncProperty(inside, spell, async (octets, write) => {
        const result = await loader.fromUrl(`http://${write(octets)}/a.png`);
        expect(result).toMatchObject({ ok: false, failure: { code: BLOCKED } });
      }),
      { numRuns: 1_000 },
    );
  });

  it('rejects a name as soon as one of its addresses is not public', async () => {
    const good = ['93.184.216.34', '8.8.8.8', '2606:4700::1111'];
    const bad = ['10.0.0.1', '127.0.0.1', '::1', 'fd00::1', '64:ff9b::a00:1', '169.254.169.254', 'fe80::1%1'];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...good), { maxLength: 6 }),
        fc.constantFrom(...bad),
        fc.nat(6),
        async (addresses, address, at) => {
          const mixed = addresses.toSpliced(at, 0, address);
          const one = createImageLoader({ ...OPTIONS, lookup: async () => mixed.map(toAnswer) });
          const result = await one.fromUrl('http://mixed.test/a.png');
          await one.close();
          expect(result).toMatchObject({ ok: false, failure: { code: BLOCKED } });
        },
      ),
      { numRuns: 100 },
    );
  });

  it('allows public addresses', () => {
    for (const address of [
      '93.184.216.34',
      '8.8.8.8',
      '2606:4700::1111',
      '172.32.0.1',
      '100.128.0.1',
      '11.0.0.1',
      '::ffff:8.8.8.8',
      '9.255.255.255',
      '126.255.255.255',
      '128.0.0.1',
      '169.253.255.255',
      '172.15.255.255',
      '192.167.255.255',
      '192.169.0.1',
      '223.255.255.255',
      '168.63.129.17',
      '2a00:1450:4001::200e',
    ]) {
      expect(judgeAddress(address)).toEqual({ ok: true });
    }
  });
});

function hex(octet: number): string {
  return octet.toString(16).padStart(2, '0');
}
