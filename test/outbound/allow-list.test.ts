import { describe, expect, it } from 'vitest';
import { parseAllowList } from '../../src/outbound/allow-list.ts';

describe('an allow list', () => {
  it('is empty when its text is', () => {
    for (const text of ['', ' ', ',', ' , ']) {
      const list = parseAllowList(text);
      expect(list.allowsHost('a.test', 80)).toBe(false);
      expect(list.allowsHost('', 80)).toBe(false);
      expect(list.allowsAddress('127.0.0.1', 80)).toBe(false);
    }
  });

  it.each([
    ['127.0.0.1', '127.0.0.1', 80, true],
    ['127.0.0.1', '::ffff:127.0.0.1', 80, true],
    ['127.0.0.1', '127.0.0.2', 80, false],
    ['127.0.0.1:8080', '127.0.0.1', 8080, true],
    ['127.0.0.1:8080', '127.0.0.1', 80, false],
    ['10.0.0.0/8', '10.255.0.1', 1, true],
    ['10.9.9.9/8', '10.1.1.1', 1, true],
    ['10.0.0.0/8', '11.0.0.1', 1, false],
    ['10.0.0.0/8', '64:ff9b::a00:1', 1, false],
    ['10.0.0.0/8', '2002:a00:1::', 1, false],
    ['10.0.0.0/8:80', '10.0.0.1', 80, true],
    ['10.0.0.0/8:80', '10.0.0.1', 81, false],
    ['0.0.0.0/0', '127.0.0.1', 80, true],
    ['0.0.0.0/0', '::1', 80, false],
    ['::1', '::1', 80, true],
    ['::1', '127.0.0.1', 80, false],
    ['[::1]', '::1', 80, true],
    ['[::1]:80', '::1', 80, true],
    ['[::1]:80', '::1', 81, false],
    ['fd00::/8', 'fd12::1', 80, true],
    ['[fd00::/8]:80', 'fd12::1', 80, true],
    ['::ffff:10.0.0.1', '10.0.0.1', 80, true],
    ['::ffff:10.0.0.0/104', '10.1.1.1', 80, true],
    ['::ffff:10.0.0.0/104', '11.1.1.1', 80, false],
    ['fe80::/10', 'fe80::1%eth0', 80, false],
    ['10.0.0.0/8', '10.1', 80, false],
    ['10.0.0.0/8', 'a.test', 80, false],
  ])('%s: %s at port %i is %s', (text, address, port, allowed) => {
    expect(parseAllowList(text).allowsAddress(address, port)).toBe(allowed);
  });

  it.each([
    ['a.test', 'a.test', 80, true],
    ['A.Test', 'a.tEST', 80, true],
    ['a.test:80', 'a.test', 80, true],
    ['a.test:80', 'a.test', 81, false],
    ['a.test', 'b.a.test', 80, false],
    ['a.test', 'a.test.evil', 80, false],
    ['localhost', 'localhost', 80, true],
    ['comfy_ui-1', 'comfy_ui-1', 80, true],
    ['bücher.test', 'xn--bcher-kva.test', 80, true],
    ['127.0.0.1', '127.0.0.1', 80, false],
  ])('%s: a host named %s at port %i is %s', (text, host, port, allowed) => {
    expect(parseAllowList(text).allowsHost(host, port)).toBe(allowed);
  });

  it.each([
    ['*.gpu.test', 'a.gpu.test', 80, true],
    ['*.GPU.Test', 'A.gPU.test', 80, true],
    ['*.gpu.test', 'b.a.gpu.test', 80, true],
    ['*.gpu.test', '127.0.0.1.gpu.test', 80, true],
    ['*.gpu.test', 'gpu.test', 80, false],
    ['*.gpu.test', 'evilgpu.test', 80, false],
    ['*.gpu.test', 'a.gpu.test.evil', 80, false],
    ['*.gpu.test', '.gpu.test', 80, false],
    ['*.gpu.test', 'a..gpu.test', 80, false],
    ['*.gpu.test', 'a.gpu.test.', 80, false],
    ['*.gpu.test', '*.gpu.test', 80, false],
    ['*.gpu.test', 'evil.test/.gpu.test', 80, false],
    ['*.gpu.test', 'evil.test#.gpu.test', 80, false],
    ['*.gpu.test', 'evil.test\\.gpu.test', 80, false],
    ['*.gpu.test', 'evil.test@x.gpu.test', 80, false],
    ['*.gpu.test', 'evil.test\0.gpu.test', 80, false],
    ['*.gpu.test', 'evil.test%00.gpu.test', 80, false],
    ['*.gpu.test', `${'a'.repeat(64)}.gpu.test`, 80, false],
    ['*.gpu.test', `${'a.'.repeat(130)}gpu.test`, 80, false],
    ['*.gpu.test', '', 80, false],
    ['*.gpu.test', '10.0.0.1', 80, false],
    ['*.gpu.test', '::1', 80, false],
    ['*.gpu.test:8188', 'a.gpu.test', 8188, true],
    ['*.gpu.test:8188', 'a.gpu.test', 80, false],
    ['*.bücher.test', 'a.xn--bcher-kva.test', 80, true],
    ['*.lan', 'a.lan', 80, true],
    ['*.lan', 'lan', 80, false],
    ['gpu.test,*.gpu.test', 'gpu.test', 80, true],
  ])('%s with wildcards: a host named %j at port %i is %s', (text, host, port, allowed) => {
    expect(parseAllowList(text, { wildcards: true }).allowsHost(host, port)).toBe(allowed);
  });

  it('allows no address by a wildcard', () => {
    const list = parseAllowList('*.gpu.test', { wildcards: true });
    for (const address of ['127.0.0.1', '::1', '169.254.169.254', 'a.gpu.test', '::ffff:10.0.0.1']) {
      expect(list.allowsAddress(address, 80), address).toBe(false);
    }
  });

  it.each([
    '*',
    '*.',
    '*..test',
    '*.*.test',
    '*.*',
    '**.test',
    'a*.test',
    'a.*.test',
    'a.test.*',
    '*gpu.test',
    '*.1',
    '*.0.0.1',
    '*.0x1',
    '*.test.1',
    '*.127.0.0.1',
    '*.10.0.0.0/8',
    '*.[::1]',
    '*.::1',
    '*:80',
    '*.a.test:0',
    '*.a.test/path',
    'http://*.a.test',
    '*.u@a.test',
    '*.a b.test',
    '[*.a.test]:80',
  ])('with wildcards throws on %s and names it', entry => {
    expect(() => parseAllowList(`ok.test, ${entry}`, { wildcards: true })).toThrow(JSON.stringify(entry));
  });

  it.each([
    '10/8',
    '10.1/8',
    '0x0a.0.0.0/8',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/x',
    '127.1',
    '2130706433',
    '0x7f.1',
    'a.test.0x1',
    '1.2.3.256',
    'a.test:0',
    'a.test:65536',
    'a.test:http',
    'a.test:',
    'a.test/8',
    'http://a.test',
    'a.test/path',
    '*.a.test',
    '*',
    'a b.test',
    '-a.test',
    'u@a.test',
    '[a.test]:80',
    '[10.0.0.0/8]:80',
    '[::1',
    'fe80::1%eth0',
    'fe80::%1/10',
    '::ffff:0.0.0.0/95',
    `${'a'.repeat(64)}.test`,
  ])('throws on %s and names it', entry => {
    expect(() => parseAllowList(`ok.test, ${entry}`)).toThrow(JSON.stringify(entry));
  });
});
