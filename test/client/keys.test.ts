import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Client, createClient, type TransportName } from '../../src/client/client.ts';
import { makeApiKey } from '../../src/http/access/api-keys.ts';
import { type Rig, startRig } from '../support/gateway.ts';

const alice = makeApiKey('alice', 'user');
const bob = makeApiKey('bob', 'user');

describe.each<TransportName>(['websocket', 'sse'])('a gateway with keys, over %s', transport => {
  let rig: Rig;
  const clients: Client[] = [];
  beforeAll(async () => {
    rig = await startRig({ API_KEYS: `${alice.entry},${bob.entry}` });
  });
  afterAll(async () => {
    for (const client of clients) await client.close();
    await rig.close();
  });

  function clientWith(apiKey?: string): Client {
    const client = createClient({
      url: rig.url,
      transports: [transport],
      ...(apiKey === undefined ? {} : { apiKey }),
    });
    clients.push(client);
    return client;
  }

  const input = () => ({ images: [`${rig.images.url}/red.png`], prompt: 'x', steps: 2, megapixels: 0.25 });

  it('give a caller access to their own jobs only', async () => {
    const client = clientWith(alice.key);
    const job = await client.edit(input());
    if (job.__typename !== 'EditJob') throw new Error(job.message);
    expect((await client.wait(job.id)).status).toBe('COMPLETED');
    expect((await (await client.download(job.id)).bytes()).byteLength).toBeGreaterThan(0);

    const other = clientWith(bob.key);
    expect(await other.job(job.id)).toBeNull();
    await expect(other.wait(job.id)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(other.download(job.id)).rejects.toMatchObject({ kind: 'not-found', status: 404 });
    expect((await other.cancel(job.id)).__typename).toBe('EditJobNotFound');
  });

  it.each([
    ['no key', undefined],
    ['a wrong key', 'qek_wrong'],
  ])('reject a request with %s, without retries', async (_, apiKey) => {
    const client = clientWith(apiKey);
    const refused = { name: 'GatewayError', kind: 'refused', retryable: false };
    await expect(client.edit(input())).rejects.toMatchObject({ ...refused, status: 401 });
    await expect(client.download('x')).rejects.toMatchObject({ ...refused, status: 401 });
    await expect(client.wait('x')).rejects.toMatchObject(refused);
  });
});

describe('limits of a gateway', () => {
  it('leave room for a full page', async () => {
    const rig = await startRig();
    const client = createClient({ url: rig.url });
    expect((await client.jobs({ first: 100 })).nodes).toEqual([]);
    await client.close();
    await rig.close();
  });

  it.each<TransportName>(['websocket', 'sse'])(
    'include the client’s operations in the persisted documents, over %s',
    async transport => {
      const rig = await startRig({ PERSISTED_DOCUMENTS: 'only' });
      const client = createClient({ url: rig.url, transports: [transport] });
      const input = { images: [`${rig.images.url}/red.png`], prompt: 'x', steps: 1, megapixels: 0.25 };
      const job = await client.edit(input);
      if (job.__typename !== 'EditJob') throw new Error(job.message);
      expect((await client.wait(job.id)).status).toBe('COMPLETED');
      expect((await client.retry('x')).__typename).toBe('EditJobNotFound');
      expect((await rig.graphql('{ __typename }')).errors?.[0]?.message).toMatch(/Only persisted documents/);
      await client.close();
      await rig.close();
    },
  );
});
