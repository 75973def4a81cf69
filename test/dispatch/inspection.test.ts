import { expect, it, onTestFinished } from 'vitest';
import { startTestSandbox } from '../support/comfyui/sandbox.ts';
import { startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';

it('the log says once what an engine runs and what it lacks, and again when that changes', async () => {
  const bare = await startTestSandbox({ missingModels: ['qwen_image_vae.safetensors'] });
  const log = recordLog();
  const rig = await startRig({ COMFYUI_URL: bare.url, ENGINE_PROBE: '20ms' }, log);
  onTestFinished(() => rig.close());
  const { host, port } = new URL(bare.url);
  const told = () =>
    log.lines.filter(({ level, message }) => level === 'info' && message.startsWith(`${host} runs `));
  const state = () => log.lines.flatMap(({ fields }) => ('state' in fields ? [fields.state] : [])).at(-1);

  await expect.poll(told).toHaveLength(1);
  expect(told()[0]?.message).toMatch(
    /runs no workflow; not .*qwen-image-edit-plus: lacks the file qwen_image_vae\.safetensors in models\/vae/,
  );
  await bare.stop();
  const whole = await startTestSandbox({ port: Number(port) });
  await expect.poll(state).toBe('READY');
  expect(told()).toHaveLength(2);
  expect(told()[1]).toMatchObject({
    message: expect.stringMatching(/runs .*\bqwen-image-edit-plus, /),
    fields: { engine: host, version: expect.stringMatching(/^\d/) },
  });

  // It has the same after another restart.
  await whole.stop();
  await expect.poll(state).toBe('DOWN');
  await startTestSandbox({ port: Number(port) });
  await expect.poll(state).toBe('READY');
  expect(told()).toHaveLength(2);
});
