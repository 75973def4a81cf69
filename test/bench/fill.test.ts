import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fillWithFinished } from '../../bench/support/rest/fill.ts';
import { startRig } from '../support/gateway.ts';

test('a gateway opens a ledger that a benchmark filled, and answers for its jobs', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'filled-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const ids = fillWithFinished(dataDir, 40, 4);
  const rig = await startRig({ DATA_DIR: dataDir });
  onTestFinished(() => rig.close());

  expect(ids).toHaveLength(4);
  for (const id of ids) {
    const answer = await fetch(`${rig.url}/status/${id}`);
    expect(await answer.json()).toMatchObject({ status: 'completed', progress: 100 });
  }
});
