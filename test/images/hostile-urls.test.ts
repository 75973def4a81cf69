import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { judgeAddress } from '../../src/images/address.ts';
import { parseAllowList } from '../../src/images/allow.ts';
import { createImageLoader } from '../../src/images/fetch-image.ts';

const BLOCKED = 'INPUT_BLOCKED';
const INVALID = 'INVALID_INPUT';

/** What strangers may try, and how each is refused. Names resolve as written in `NAMES`, never by the network. */
const HOSTILE: readonly (readonly [url: string, code: string])[] = [
  // Loopback, in every spelling that WHATWG URL takes for an IPv4 address.
  ...[
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '2130706433',
    '017700000001',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '127.255.255.254',
    '127.0.0.1.',
    '①②⑦.⓪.⓪.①',
    '127。0。0。1',
    '%31%32%37.0.0.1',
    '0X7F.0x0.0x0.0x1',
  ].map(host => [`http://${host}/a.png`, BLOCKED] as const),
  // This host, private, carrier, link-local (cloud metadata), test, benchmark, multicast, reserved: RFC 6890.
  ...[
    '0.0.0.0',
    '0',
    '0.1.2.3',
    '10.0.0.1',
    '10.255.255.255',
    '167772161',
    '0xa000001',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '192.168.255.255',
    '3232235777',
    '100.64.0.1',
    '100.127.255.254',
    '169.254.169.254',
    '2852039166',
    '0xa9fea9fe',
    '0251.0376.0251.0376',
    '169.254.170.2',
    '169.254.0.1',
    '192.0.0.1',
    '192.0.0.170',
    '192.0.2.1',
    '198.51.100.7',
    '203.0.113.9',
    '198.18.0.1',
    '198.19.255.255',
    '192.88.99.1',
    '224.0.0.1',
    '239.255.255.250',
    '240.0.0.1',
    '255.255.255.255',
    '168.63.129.16',
    '100.100.100.200',
    '192.0.0.192',
    '0x64646464',
    '0xa83f8110',
    '192.175.48.1',
    '192.31.196.1',
    '192.52.193.1',
    '0300.0250.1.1',
    '10.1',
    '10.0.1',
    '192.168.257',
    '00000012.0.0.1',
  ].map(host => [`http://${host}/latest/meta-data`, BLOCKED] as const),
  // IPv6: unspecified, loopback, mapped, compatible, translated, 6to4, Teredo, ULA, link-local, site-local, multicast, documentation, discard.
  ...[
    '::',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '0:0:0:0:0:ffff:c0a8:1',
    '::127.0.0.1',
    '::7f00:1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2002:a00:1::1',
    '2002:c0a8:101::1',
    '2001:0:53aa:64c:0:0:80ff:fffe',
    '2001::1',
    'fc00::1',
    'fd00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::a9fe:a9fe',
    'fec0::1',
    'ff02::1',
    'ff0e::1',
    '2001:db8::1',
    '100::1',
    '2001:10::1',
    '2001:20::1',
    '3fff::1',
    '5f00::1',
    '4000::1',
    'fd20:ce::254',
    'fd00:42::42',
    '2606:4700::5efe:10.0.0.1',
    '2606:4700::200:5efe:a00:1',
    'fe80::5efe:10.0.0.1',
    '::ffff:168.63.129.16',
    '::ffff:0:0',
    '::2',
    '2002:a9fe:a9fe::1',
    '64:ff9b:1:fffe::169.254.169.254',
    '2001:2::1',
    '2001:4:112::1',
    '2620:4f:8000::1',
    '0000:0000:0000:0000:0000:0000:0000:0001',
    '0:0:0:0:0:FFFF:7F00:0001',
  ].map(host => [`http://[${host}]/a.png`, BLOCKED] as const),
  ['http://[fe80::1%25eth0]/', INVALID],
  ['http://[::1%lo]/', INVALID],
  ['http://[::1%2525lo]/', INVALID],
  ['http://[v1.127.0.0.1]/', INVALID],
  ['http://[127.0.0.1]/', INVALID],
  ['http://[::ffff:127.1]/', INVALID],
  ['http://[::ffff:0x7f.0.0.1]/', INVALID],
  ['http://::1/', INVALID],
  // Names that lead inside.
  ...[
    'localhost',
    'LOCALHOST',
    'localhost.',
    'inside.test',
    'six.test',
    'mapped.test',
    'mixed.test',
    'mixed-reversed.test',
    'metadata.google.internal',
    'nat64.test',
    'azure.test',
    'sixtofour.test',
    'zone.test',
    'INSIDE.test',
    'inside%2Etest',
    'inside。test',
    'ｉnside.test',
  ].map(host => [`http://${host}/a.png`, BLOCKED] as const),
  ['https://inside.test/a.png', BLOCKED],
  ['https://127.0.0.1/a.png', BLOCKED],
  ['http://inside.test:8188/view?filename=x', BLOCKED],
  ['http://127.0.0.1:8188/', BLOCKED],
  ['http://127.0.0.1:8189/download/x', BLOCKED],
  ['http:127.0.0.1/', BLOCKED],
  ['http:\\\\127.0.0.1\\a.png', BLOCKED],
  ['http:////127.0.0.1/a.png', BLOCKED],
  ['  http://127.0.0.1/a.png  ', BLOCKED],
  ['http://127.0.0.1\t/a.png', BLOCKED],
  ['http://127.0.0.1#@public.test/', BLOCKED],
  ['http://127.0.0.1\\@public.test/', BLOCKED],
  // Credentials, also those that make a host look like another.
  ['http://user:secret@public.test/a.png', BLOCKED],
  ['http://user@public.test/a.png', BLOCKED],
  ['http://public.test@127.0.0.1/a.png', BLOCKED],
  ['http://public.test:80@127.0.0.1/', BLOCKED],
  ['http://:pw@public.test/', BLOCKED],
  ['http://%40@127.0.0.1/', BLOCKED],
  ['https://public.test%20@public.test/', BLOCKED],
  // Ports of other protocols.
  ...[0, 1, 21, 22, 23, 25, 53, 110, 143, 389, 465, 587, 636, 993, 2049, 6000, 6379, 6667, 10080].map(
    port => [`http://public.test:${port}/a.png`, BLOCKED] as const,
  ),
  // Other schemes, and what is no URL.
  ...[
    'file:///etc/passwd',
    'file://localhost/etc/passwd',
    'ftp://public.test/a.png',
    'gopher://127.0.0.1:6379/_FLUSHALL',
    'dict://127.0.0.1:11211/',
    'ldap://127.0.0.1/',
    'jar:http://public.test!/',
    'data:text/html,x',
    'blob:http://public.test/x',
    'javascript:alert(1)',
    'ws://public.test/',
    'unix:/var/run/docker.sock',
    'http+unix://%2Fvar%2Frun%2Fdocker.sock/',
    'view-source:http://public.test',
    'about:blank',
    '',
    ' ',
    '/a.png',
    '//127.0.0.1/a.png',
    'a.png',
    'http://',
    'http:///',
    'http://?x',
    'http://[::1',
    'http://[::g]/',
    'http://256.256.256.256/',
    'http://1.2.3.4.5/',
    'http://0x100000000/',
    'http://4294967296/',
    'http://a b/',
    'http://public.test:99999/',
    'http://%00/',
    'http://127.0.0.1%00.public.test/',
    'http://0x7f.0.0.0x100/',
    'http://09.0.0.1/',
    'http://public.test:-1/',
    'http://public.test:0x50/',
    'https:',
    'hTTp+s://public.test/',
    'http//127.0.0.1',
    '127.0.0.1:80',
    'localhost:80',
    'php://filter/resource=http://public.test',
    'sftp://public.test/',
    'tftp://127.0.0.1:69/x',
    'netdoc:///etc/passwd',
    'expect://id',
    '\\\\127.0.0.1\\share',
    'msl:/etc/passwd',
    '|id',
    'http://a%2fb/',
    `http://public.test/?${'a'.repeat(9_000)}`,
  ].map(url => [url, INVALID] as const),
];

const NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ['127.0.0.1', '::1'],
  'localhost.': ['127.0.0.1'],
  'inside.test': ['10.1.2.3'],
  'six.test': ['fd12::1'],
  'mapped.test': ['::ffff:192.168.1.1'],
  'mixed.test': ['93.184.216.34', '10.0.0.1'],
  'mixed-reversed.test': ['10.0.0.1', '93.184.216.34'],
  'metadata.google.internal': ['169.254.169.254'],
  'nat64.test': ['64:ff9b::a00:1'],
  'azure.test': ['168.63.129.16'],
  'sixtofour.test': ['2002:a00:1::1'],
  'zone.test': ['fe80::1%eth0'],
};

const OPTIONS = { allow: parseAllowList(''), maxBytes: 1024, maxPixels: 1e6, totalTimeoutMs: 2_000 };
const toAnswer = (address: string) => ({ address, family: address.includes(':') ? 6 : 4 });

const loader = createImageLoader({
  ...OPTIONS,
  lookup: async host => (NAMES[host.toLowerCase()] ?? []).map(toAnswer),
});
afterAll(() => loader.close());

describe('hostile URLs', () => {
  it('are at least 120', () => expect(HOSTILE.length).toBeGreaterThanOrEqual(120));

  it.each(HOSTILE)('%.80s is refused as %s', async (url, code) => {
    const result = await loader.fromUrl(url);
    expect(result.ok ? 'taken' : result.failure.code, result.ok ? '' : result.failure.message).toBe(code);
  });

  it('refuses any private IPv4 address in any spelling', async () => {
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

  it('refuses a name as soon as one of its addresses is not public', async () => {
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

  it('lets public addresses through', () => {
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
