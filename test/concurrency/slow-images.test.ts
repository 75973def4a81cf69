import { once } from 'node:events';
import { type ClientRequest, createServer, request, type Server } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../support/gateway.ts';
import { plainImage } from '../support/images.ts';
import { API_KEYS, as, KEYS } from '../support/requests.ts';
import { listen } from '../support/servers.ts';

interface From {
  readonly headers: Record<string, string>;
  readonly localAddress?: string;
}

const CALLERS: readonly [how: string, settings: Record<string, string>, greedy: From, other: From][] = [
  ['keys', { API_KEYS }, { headers: as(KEYS.alice) }, { headers: as(KEYS.bob) }],
  [
    'their addresses',
    { FAIR_BY: 'address' },
    { headers: {}, localAddress: '127.0.0.1' },
    { headers: {}, localAddress: '127.0.0.2' },
  ],
];

describe.each(CALLERS)('callers told apart by %s', (_, settings, greedy, other) => {
  let rig: Rig;
  /** Sends the first byte of a picture and never another. */
  let slow: Server;
  let slowUrl: string;
  let asked = 0;
  const sent = new Set<ClientRequest>();
  beforeEach(async () => {
    asked = 0;
    slow = createServer((_request, response) => {
      asked += 1;
      response.writeHead(200).write('x');
    });
    slowUrl = `http://127.0.0.1:${await listen(slow)}/`;
    // Longer than a test may take: no clock makes room.
    rig = await startRig({ ...settings, FETCH_TIMEOUT: '10m' });
  });
  afterEach(async () => {
    for (const call of sent) call.destroy();
    sent.clear();
    await rig.close();
    slow.closeAllConnections();
    slow.close();
    await once(slow, 'close');
  });

  function post(from: From, path: string, type: string, body: string | Buffer): ClientRequest {
    const { localAddress } = from;
    const headers = { ...from.headers, 'content-type': type };
    const call = request(`${rig.url}${path}`, { method: 'POST', headers, localAddress, agent: false });
    sent.add(call);
    // Those that are still waiting when the test is over are cut.
    call.on('error', () => undefined).end(body);
    return call;
  }

  const edit = (from: From, images: Record<string, string>): ClientRequest =>
    post(from, '/edit-image', 'application/json', JSON.stringify({ ...images, prompt: 'x', steps: 1 }));

  async function answerTo(call: ClientRequest): Promise<Record<string, unknown>> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    call.on('response', response => json(response).then(resolve, reject)).on('error', reject);
    return z.record(z.string(), z.unknown()).parse(await promise);
  }

  it('many images that come slowly delay neither images that are stored already nor all other callers', async () => {
    for (let edits = 0; edits < 8; edits += 1) {
      edit(greedy, { image1_url: slowUrl, image2_url: slowUrl, image3_url: slowUrl });
    }
    await expect.poll(() => asked).toBe(3);
    const png = await plainImage().png().toBuffer();
    const job = { job_id: expect.any(String) };
    for (const from of [greedy, other]) {
      const { upload_id } = await answerTo(post(from, '/upload', 'image/png', png));
      expect(await answerTo(edit(from, { image1_url: `upload:${upload_id}` }))).toMatchObject(job);
      const dataUri = `data:image/png;base64,${png.toString('base64')}`;
      const first = await answerTo(edit(from, { image1_url: dataUri }));
      expect(first).toMatchObject(job);
      const status = `${rig.url}/status/${first.job_id}`;
      await expect
        .poll(async () => (await (await fetch(status, { headers: from.headers })).json()).status)
        .toBe('completed');
      expect(await answerTo(edit(from, { image1_url: `job:${first.job_id}` }))).toMatchObject(job);
    }
    expect(await answerTo(edit(other, { image1_url: `${rig.images.url}/red.png` }))).toMatchObject(job);
    expect(asked).toBe(3);
  });
});
