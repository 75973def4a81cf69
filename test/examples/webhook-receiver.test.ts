import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { startRig } from '../support/gateway.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/webhook-receiver.ts', import.meta.url));
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

it('the webhook receiver prints the gateway’s events, and rejects others', async () => {
  const child = spawn(process.execPath, [EXAMPLE, '0'], {
    env: { ...process.env, WEBHOOK_SECRET },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const rig = await startRig({ WEBHOOK_SECRET });
  try {
    const url = /http:\S+/.exec((await lines.next()).value ?? '')?.[0] ?? '';
    const forged = await fetch(url, { method: 'POST', body: '{"type":"job.completed"}' });
    expect(forged.status).toBe(401);
    const answer = await fetch(`${rig.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        image1_url: `${rig.images.url}/red.png`,
        prompt: 'x',
        steps: 1,
        webhook: { url },
      }),
    });
    const { job_id } = await answer.json();
    expect(JSON.parse((await lines.next()).value ?? '')).toMatchObject({
      type: 'job.completed',
      data: { job_id },
    });
  } finally {
    child.kill();
    await rig.close();
  }
});
