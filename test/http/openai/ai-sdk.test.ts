import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateImage } from 'ai';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, KEYS } from '../../support/requests.ts';

let rig: Rig;
let png: Buffer;
beforeAll(async () => {
  rig = await startRig({ API_KEYS, OPENAI_MODEL_ALIASES: 'gpt-image-1' });
  png = await sharp({ create: { width: 384, height: 320, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
});
afterAll(() => rig.close());

const model = (name: string) =>
  createOpenAICompatible({ name: 'qwen', baseURL: `${rig.url}/v1`, apiKey: KEYS.alice }).imageModel(name);

it('the AI SDK edits two images into two results, with the parameters of its provider options', async () => {
  const { images } = await generateImage({
    model: model('gpt-image-1'),
    prompt: { text: 'place image 1 in image 2', images: [png, png] },
    n: 2,
    size: '384x320',
    providerOptions: { qwen: { output_format: 'webp', seed: 7 } },
  });
  expect(images.map(({ mediaType }) => mediaType)).toEqual(['image/webp', 'image/webp']);
  const files = await Promise.all(images.map(({ uint8Array }) => sharp(uint8Array).metadata()));
  expect(files.map(({ width, height }) => [width, height])).toEqual([
    [384, 320],
    [384, 320],
  ]);
});

it('the AI SDK gets the message of an error', async () => {
  const call = generateImage({ model: model('sdxl'), prompt: { text: 'x', images: [png] }, maxRetries: 0 });
  const error = await call.catch((thrown: unknown) => thrown);
  if (!APICallError.isInstance(error)) throw new Error(`rejected with ${String(error)}`);
  expect([error.statusCode, error.message]).toEqual([404, expect.stringContaining('"sdxl" does not exist')]);
});
