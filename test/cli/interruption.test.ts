import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwenEdit } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';

let rig: Rig;
let folder: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '50ms' });
  folder = await mkdtemp(join(tmpdir(), 'cli-interruption-'));
  const shape = { create: { width: 80, height: 60, channels: 3, background: 'green' } } as const;
  await writeFile(join(folder, 'photo.jpg'), await sharp(shape).jpeg().toBuffer());
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

describe('a signal while a job runs', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    '%s ends the wait with exit code %i, prints how to continue, and the job goes on',
    async (signal, code) => {
      const words = [
        'edit',
        'photo.jpg',
        '-p',
        'x',
        '--steps',
        '40',
        '--megapixels',
        '0.25',
        '-o',
        'out.png',
      ];
      let sent = false;
      const ran = await qwenEdit(
        words,
        { QWEN_EDIT_URL: rig.url },
        {
          cwd: folder,
          onError(child, err) {
            if (sent || !err.includes('SAMPLING')) return;
            sent = true;
            child.kill(signal);
          },
        },
      );
      expect(ran).toMatchObject({ code, out: '' });
      const id = /qwen-edit watch (\S+)\n {2}qwen-edit cancel \1\n$/.exec(ran.err)?.[1];
      const status = async () =>
        (
          await rig.graphql<{ job: { status: string } }>('query ($id: ID!) { job(id: $id) { status } }', {
            id,
          })
        ).data?.job.status;
      await expect.poll(status).toBe('COMPLETED');
      expect(await readdir(folder)).toEqual(['photo.jpg']);
    },
  );
});
