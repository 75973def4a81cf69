import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { qwenEdit } from '../support/clients/cli.ts';
import { startTestSandbox } from '../support/comfyui/sandbox.ts';
import { startRig } from '../support/gateway.ts';
import { startRecordingProxy } from '../support/proxies.ts';
import { postGraphQL, submit } from '../support/requests.ts';
import { until, waitForEnd } from '../support/watch.ts';

const FP8 = 'qwen_image_edit_2509_fp8_e4m3fn.safetensors';
const BF16 = 'qwen_image_edit_2509_bf16.safetensors';
const Q8 = 'Qwen-Image-Edit-2509-Q8_0.gguf';

it('engines with other files of a model run its jobs with those, and say which', async () => {
  const full = await startTestSandbox({ moreModels: { diffusion_models: [BF16, Q8] } });
  const small = await startTestSandbox({ missingModels: [FP8], moreModels: { diffusion_models: [Q8] } });
  const none = await startTestSandbox({ missingModels: [FP8] });
  const proxy = await startRecordingProxy(small.url);
  const rig = await startRig({ COMFYUI_URL: [full.url, proxy.url, none.url].join() });
  onTestFinished(async () => {
    await rig.close();
    await proxy.stop();
  });
  const QUERY = '{ engines { id state models { workflow wanted file } problems } }';
  const engine = z.object({
    id: z.string(),
    state: z.string(),
    models: z.array(z.object({ workflow: z.string(), wanted: z.string(), file: z.string() })),
    problems: z.array(z.string()),
  });
  const engines = async () => {
    const { data } = await postGraphQL(rig.url, QUERY);
    return z.object({ engines: z.array(engine) }).parse(data).engines;
  };
  await until(async () => (await engines()).every(({ state }) => state === 'READY'));
  const of = async (url: string) => {
    const found = (await engines()).find(({ id }) => id === new URL(url).host);
    const used = found?.models.find(
      ({ workflow, wanted }) => workflow === 'qwen-image-edit-plus' && wanted === FP8,
    );
    return { file: used?.file ?? null, problems: found?.problems.join('\n') ?? '' };
  };
  expect(await of(full.url)).toMatchObject({ file: FP8 });
  expect(await of(proxy.url)).toMatchObject({ file: Q8 });
  const { file, problems } = await of(none.url);
  expect(file).toBeNull();
  expect(problems).toContain(`qwen-image-edit-plus: lacks the file ${FP8} or ${BF16} or ${Q8} or `);

  await postGraphQL(
    rig.url,
    'mutation ($id: ID!) { setEngineState(id: $id, drained: true) { __typename } }',
    {
      id: new URL(full.url).host,
    },
  );
  const job = await submit(rig, { steps: 2, workflow: 'qwen-image-edit-plus' });
  expect(await waitForEnd(rig.url, job)).toMatchObject({ status: 'COMPLETED' });
  const sent = proxy.passed.find(({ path }) => path === '/prompt')?.body ?? '{}';
  const { prompt } = z
    .object({
      prompt: z.record(z.string(), z.looseObject({ class_type: z.string(), inputs: z.looseObject({}) })),
    })
    .parse(JSON.parse(sent));
  expect(prompt[37]).toMatchObject({ class_type: 'UnetLoaderGGUF', inputs: { unet_name: Q8 } });

  const check = await qwenEdit(['workflows', 'check', 'qwen-image-edit-plus', '--engine', small.url]);
  expect(check).toMatchObject({ code: 0 });
  expect(check.out).toBe(`qwen-image-edit-plus: ok\n  note: uses ${Q8} in place of ${FP8}\n`);
  const doctor = await qwenEdit(['doctor'], { COMFYUI_URL: small.url, DATA_DIR: rig.dataDir, PORT: '0' });
  expect(doctor.out).toContain(`qwen-image-edit-plus (with ${Q8})`);
});
