import os, { type NetworkInterfaceInfo } from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseAllowList } from '../../src/outbound/allow-list.ts';
import { replaceBuiltin } from '../support/builtins.ts';
import { blocked, loader } from '../support/images.ts';

const outside: NetworkInterfaceInfo = {
  address: '93.184.216.34',
  netmask: '255.255.255.0',
  family: 'IPv4',
  mac: '00:00:00:00:00:00',
  internal: false,
  cidr: '93.184.216.34/24',
};

// This host, with an interface in a public network besides its own.
let restore: () => void;
beforeAll(() => {
  const own = os.networkInterfaces();
  restore = replaceBuiltin(os, 'networkInterfaces', () => ({ ...own, outside: [outside] }));
});
afterAll(() => restore());

it.each(['93.184.216.34', '93.184.216.99'])(
  'a public address next to this server is not requested, nor a name for it: %s',
  async address => {
    // Were it asked, it would be told by a time that is up, or by what answers there.
    const options = { connectTimeoutMs: 100, lookup: async () => [{ address, family: 4 }] };
    const closed = loader({ ...options, allow: parseAllowList('') });
    const message = 'an address next to this server';
    expect(await closed.fromUrl(`http://${address}/a.png`)).toEqual(blocked(`${address} is ${message}`));
    expect(await closed.fromUrl('http://neighbour.test/a.png')).toEqual(
      blocked(`neighbour.test leads to ${message}`),
    );
  },
);
