import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { startRig } from '../support/gateway.ts';

it('the queue is fair between addresses with FAIR_BY=address', async () => {
  // No engine: everything waits, in the order in which it would run.
  const rig = await startRig({ COMFYUI_URL: 'http://127.0.0.1:9', FAIR_BY: 'address' });
  const submit = (from: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asking = request(
        `${rig.url}/edit-image`,
        { method: 'POST', localAddress: from, headers: { 'content-type': 'application/json' } },
        answer => text(answer).then(body => resolve(JSON.parse(body).job_id), reject),
      );
      asking.on('error', reject);
      asking.end(JSON.stringify({ image1_url: `${rig.images.url}/red.png`, prompt: from }));
    });
  const place = async (id: string): Promise<number | undefined> =>
    (
      await rig.graphql<{ job: { queuePosition: number } }>(
        'query ($id: ID!) { job(id: $id) { queuePosition } }',
        { id },
      )
    ).data?.job.queuePosition;
  try {
    const greedy = [await submit('127.0.0.1'), await submit('127.0.0.1'), await submit('127.0.0.1')];
    const modest = await submit('127.0.0.2');
    expect(await Promise.all([...greedy, modest].map(place))).toEqual([0, 2, 3, 1]);
  } finally {
    await rig.close();
  }
});
