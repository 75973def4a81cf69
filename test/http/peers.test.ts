import { createServer, request, type Server } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { createPeers, networkOf, type Peers, parseTrustedProxies } from '../../src/http/peers.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { listen } from '../support/servers.ts';
import { openSocket } from '../support/sockets.ts';

function peersOf(trusted: string | null): Peers {
  if (trusted === null) return createPeers(null);
  const parsed = parseTrustedProxies(trusted);
  if (!parsed.ok) throw new Error(parsed.fault);
  return createPeers(parsed.value);
}

/** Sends a request from a given loopback address. */
function askFrom(localAddress: string, url: string, headers: Record<string, string>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { localAddress, headers }, answer => json(answer).then(resolve, reject));
    asking.on('error', reject);
    asking.end();
  });
}

describe('the network of an address', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::9', '2001:db8:1:3::/64'],
    ['::1', '0:0:0:0::/64'],
    ['', ''],
  ])('of %s is %s', (address, holder) => {
    expect(networkOf(address)).toBe(holder);
  });
});

describe('TRUST_PROXY', () => {
  let server: Server;
  let url: string;
  let peers: Peers;
  beforeAll(async () => {
    server = createServer((request, response) => {
      response.end(JSON.stringify({ address: peers.addressOf(request), origin: peers.baseUrlOf(request) }));
    });
    url = `http://127.0.0.1:${await listen(server)}`;
  });
  afterAll(() => {
    server.close();
  });

  const PROXY = '127.0.0.2';
  it.each([
    // By default no proxy is trusted.
    { trusted: null, peer: PROXY, forwarded: '203.0.113.9', address: PROXY },
    { trusted: '10.0.0.0/8', peer: PROXY, forwarded: '203.0.113.9', address: PROXY },
    { trusted: PROXY, peer: '127.0.0.3', forwarded: '203.0.113.9', address: '127.0.0.3' },
    // One proxy: only the address that it appended counts.
    { trusted: PROXY, peer: PROXY, forwarded: undefined, address: PROXY },
    { trusted: PROXY, peer: PROXY, forwarded: '203.0.113.9', address: '203.0.113.9' },
    { trusted: PROXY, peer: PROXY, forwarded: '198.51.100.1, 203.0.113.9', address: '203.0.113.9' },
    { trusted: PROXY, peer: PROXY, forwarded: `${PROXY}, 203.0.113.9`, address: '203.0.113.9' },
    // A chain of proxies.
    {
      trusted: `${PROXY},10.0.0.0/8`,
      peer: PROXY,
      forwarded: '203.0.113.9, 10.1.2.3',
      address: '203.0.113.9',
    },
    {
      trusted: `${PROXY}, 2001:db8::/32`,
      peer: PROXY,
      forwarded: '198.51.100.1, 203.0.113.9,2001:db8::7 ,',
      address: '203.0.113.9',
    },
    { trusted: '127.0.0.0/8', peer: PROXY, forwarded: '127.0.0.8,127.0.0.9', address: '127.0.0.8' },
    { trusted: '1', peer: PROXY, forwarded: '198.51.100.1, 203.0.113.9', address: '203.0.113.9' },
    { trusted: '2', peer: PROXY, forwarded: '198.51.100.1, 203.0.113.9', address: '198.51.100.1' },
    { trusted: '9', peer: PROXY, forwarded: '198.51.100.1, 203.0.113.9', address: '198.51.100.1' },
    // With ports, as some proxies write them.
    { trusted: PROXY, peer: PROXY, forwarded: '203.0.113.9:4711', address: '203.0.113.9' },
    { trusted: PROXY, peer: PROXY, forwarded: '[2001:db8::1]:4711', address: '2001:db8::1' },
    { trusted: '::ffff:127.0.0.2', peer: PROXY, forwarded: '203.0.113.9', address: '203.0.113.9' },
    // An invalid entry ends the chain.
    { trusted: PROXY, peer: PROXY, forwarded: 'unknown', address: PROXY },
    { trusted: PROXY, peer: PROXY, forwarded: '203.0.113.9, <script>', address: PROXY },
    { trusted: PROXY, peer: PROXY, forwarded: '203.0.113.999', address: PROXY },
    { trusted: PROXY, peer: PROXY, forwarded: ', ,', address: PROXY },
    { trusted: '2', peer: PROXY, forwarded: '_hidden, 203.0.113.9', address: '203.0.113.9' },
  ])(
    '$trusted: $peer with X-Forwarded-For $forwarded is $address',
    async ({ trusted, peer, forwarded, address }) => {
      peers = peersOf(trusted);
      const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
      expect(await askFrom(peer, url, headers)).toMatchObject({ address });
    },
  );

  it.each([
    { trusted: null, proto: 'https', host: 'evil.example', origin: 'http://us.example:8189' },
    { trusted: '127.0.0.9', proto: 'https', host: 'evil.example', origin: 'http://us.example:8189' },
    { trusted: PROXY, proto: 'https', host: 'app.example', origin: 'https://app.example' },
    { trusted: '1', proto: 'https', host: 'app.example:8443', origin: 'https://app.example:8443' },
    {
      trusted: PROXY,
      proto: 'http, HTTPS',
      host: 'evil.example, app.example',
      origin: 'https://app.example',
    },
    { trusted: PROXY, proto: 'gopher', host: 'app.example', origin: 'http://app.example' },
    { trusted: PROXY, proto: 'https', host: 'app.example/path', origin: 'https://us.example:8189' },
    { trusted: PROXY, proto: 'https', host: 'user@app.example', origin: 'https://us.example:8189' },
  ])('$trusted: $proto://$host is taken as $origin', async ({ trusted, proto, host, origin }) => {
    peers = peersOf(trusted);
    const headers = { host: 'us.example:8189', 'x-forwarded-proto': proto, 'x-forwarded-host': host };
    expect(await askFrom(PROXY, url, headers)).toMatchObject({ origin });
  });

  it.each<[Record<string, string>, string]>([
    [{ forwarded: 'for=192.0.2.1;proto=https;host=app.example' }, 'https://app.example'],
    [
      { forwarded: 'host=evil.example, For="[2001:db8::1]"; Host="app.example:8443"' },
      'http://app.example:8443',
    ],
    [{ forwarded: 'for=192.0.2.1; proto="https" ;\thost=app.example ; by=x' }, 'https://app.example'],
    [{ forwarded: 'host=evil.example/path;proto=https' }, 'https://us.example:8189'],
    [{ forwarded: ';;=;host' }, 'http://us.example:8189'],
    // A proxy that writes the older headers may pass on a client's Forwarded.
    [{ forwarded: 'host=evil.example;proto=https', 'x-forwarded-proto': 'http' }, 'http://us.example:8189'],
    [{ 'x-forwarded-prefix': '/edits/' }, 'http://us.example:8189/edits'],
    [{ 'x-forwarded-host': 'app.example', 'x-forwarded-prefix': '/evil, /a/b' }, 'http://app.example/a/b'],
    [{ 'x-forwarded-prefix': '/../a' }, 'http://us.example:8189'],
    [{ 'x-forwarded-prefix': '//evil.example' }, 'http://us.example:8189'],
    [{ 'x-forwarded-prefix': '/a?b' }, 'http://us.example:8189'],
    [{ 'x-forwarded-prefix': '/' }, 'http://us.example:8189'],
  ])('%j of a trusted proxy is taken as %s, and of others not at all', async (given, origin) => {
    const headers = { host: 'us.example:8189', ...given };
    peers = peersOf(PROXY);
    expect(await askFrom(PROXY, url, headers)).toMatchObject({ origin });
    peers = peersOf('127.0.0.9');
    expect(await askFrom(PROXY, url, headers)).toMatchObject({ origin: 'http://us.example:8189' });
  });

  it.each([
    ['before a quote', `by=${' '.repeat(12_000)}"x;host=app.example;proto=https`],
    ['behind a quote', `by="x"${' '.repeat(12_000)}y;host=app.example;proto=https`],
    ['around the pairs', `by=x${' '.repeat(6_000)};${' '.repeat(6_000)}host=app.example;proto=https`],
  ])('takes a Forwarded with thousands of spaces %s', async (_, forwarded) => {
    peers = peersOf(PROXY);
    expect(await askFrom(PROXY, url, { forwarded })).toMatchObject({ origin: 'https://app.example' });
  });

  it.each([
    '0',
    '33',
    'true',
    'localhost',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.1,',
    '10.0.0.1 10.0.0.2',
    'fe80::1%eth0',
  ])('rejects %s', value => {
    expect(readConfig({ TRUST_PROXY: value })).toMatchObject({
      ok: false,
      faults: [expect.stringMatching(/^TRUST_PROXY: takes addresses/)],
    });
  });
});

describe('a gateway behind a proxy', () => {
  const from = (address: string) => ({ 'x-forwarded-for': address });
  const statusOf = async (rig: Rig, headers: Record<string, string>): Promise<number> =>
    (await fetch(`${rig.url}/jobs`, { headers })).status;

  it('counts requests and sockets by the forwarded address', async () => {
    const rig = await startRig({ RATE_LIMIT: '2/1h', TRUST_PROXY: '127.0.0.1' });
    try {
      expect(await statusOf(rig, from('203.0.113.1'))).toBe(200);
      // The handshake counts, too.
      const socket = await openSocket(rig.url, {}, from('203.0.113.1'));
      expect(await statusOf(rig, from('198.51.100.7, 203.0.113.1'))).toBe(429);
      expect((await socket.run({ query: '{ engines { id } }' })).type).toBe('error');
      socket.socket.close();
      await expect(openSocket(rig.url, {}, from('203.0.113.1'))).rejects.toThrow('429');
      expect(await statusOf(rig, from('203.0.113.2'))).toBe(200);
      expect(await statusOf(rig, {})).toBe(200);
    } finally {
      await rig.close();
    }
  });

  it('ignores X-Forwarded headers by default', async () => {
    const rig = await startRig({ RATE_LIMIT: '1/1h' });
    try {
      expect(await statusOf(rig, from('203.0.113.1'))).toBe(200);
      expect(await statusOf(rig, from('203.0.113.2'))).toBe(429);
    } finally {
      await rig.close();
    }
  });

  /** Sends a request as a proxy with TLS does, for a client at this address. */
  const ask = async (rig: Rig, address: string, query: string, variables: object) => {
    const answer = await fetch(`${rig.url}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'app.example',
        ...from(address),
      },
      body: JSON.stringify({ query, variables }),
    });
    return answer.json();
  };
  const submit = async (rig: Rig, address: string): Promise<string> => {
    const input = { images: [{ url: `${rig.images.url}/red.png` }], prompt: address, steps: 1 };
    const query = 'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id } } }';
    return (await ask(rig, address, query, { input })).data.editImage.id;
  };

  it('queues fairly by the forwarded address', async () => {
    const rig = await startRig({
      COMFYUI_URL: 'http://127.0.0.1:9',
      FAIR_BY: 'address',
      TRUST_PROXY: '127.0.0.0/8',
    });
    try {
      const ids = [await submit(rig, '203.0.113.1'), await submit(rig, '203.0.113.1')];
      ids.push(await submit(rig, '203.0.113.2'));
      const places = ids.map(async id => {
        const query = 'query ($id: ID!) { job(id: $id) { queuePosition } }';
        return (await ask(rig, '203.0.113.1', query, { id })).data.job.queuePosition;
      });
      expect(await Promise.all(places)).toEqual([0, 2, 1]);
    } finally {
      await rig.close();
    }
  });

  it.each([
    { environment: { TRUST_PROXY: '1' }, at: () => 'https://app.example' },
    { environment: {}, at: (rig: Rig) => rig.url },
    { environment: { TRUST_PROXY: '1', PUBLIC_URL: 'https://us.example/' }, at: () => 'https://us.example' },
  ])('with $environment puts its origin into image URLs', async ({ environment, at }) => {
    const rig = await startRig(environment);
    try {
      const id = await submit(rig, '203.0.113.1');
      const query = 'query ($id: ID!) { job(id: $id) { images { url } } }';
      await expect
        .poll(async () => (await ask(rig, '203.0.113.1', query, { id })).data.job.images)
        .toEqual([{ url: `${at(rig)}/download/${id}` }]);
    } finally {
      await rig.close();
    }
  });

  it('puts the forwarded URL into image URLs of subscriptions, over a socket, as events and as parts', async () => {
    const rig = await startRig({ TRUST_PROXY: '127.0.0.1' });
    const forwarded = {
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'api.example',
      'x-forwarded-prefix': '/edits',
    };
    try {
      const id = await submit(rig, '203.0.113.1');
      const query = `subscription { jobProgress(jobId: "${id}") { images { url } } }`;
      const url = `https://api.example/edits/download/${id}`;
      for (const accept of ['text/event-stream', 'multipart/mixed;subscriptionSpec=1.0']) {
        const response = await fetch(`${rig.url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept, ...forwarded },
          body: JSON.stringify({ query }),
        });
        expect(await response.text()).toContain(`{"images":[{"url":"${url}"}]}`);
      }
      // The job has ended: the first result is the last one.
      const socket = await openSocket(rig.url, {}, forwarded);
      const { payload } = await socket.run({ query });
      expect(payload).toEqual({ data: { jobProgress: { images: [{ url }] } } });
      socket.socket.close();
    } finally {
      await rig.close();
    }
  });
});
