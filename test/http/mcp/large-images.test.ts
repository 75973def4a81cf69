import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { noisyImage } from '../../support/images.ts';

let rig: Rig;
let png: Buffer;
let uri: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '5ms', MAX_IMAGE_BYTES: '1MiB' });
  png = await noisyImage(300, 300).png().toBuffer();
  uri = `data:image/png;base64,${png.toString('base64')}`;
});
afterAll(() => rig.close());

const messages = z.object({
  result: z.object({
    content: z.array(z.object({ text: z.string() })),
    structuredContent: z.object({ job_id: z.string() }).optional(),
  }),
});

async function edit(args: object) {
  const params = {
    name: 'edit_image',
    arguments: { wait_seconds: 0, megapixels: 0.1, prompt: 'a', ...args },
  };
  const answer = await fetch(`${rig.url}/mcp`, {
    method: 'POST',
    headers: { accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
  });
  const last = (await answer.text()).match(/^data: (.+)$/gm)?.at(-1) ?? '';
  const { result } = messages.parse(JSON.parse(last.slice('data: '.length)));
  return { text: result.content[0]?.text ?? '', id: result.structuredContent?.job_id };
}

async function input(id: string | undefined, slot: number | 'mask'): Promise<Buffer> {
  const answer = await fetch(`${rig.url}/input/${id}?slot=${slot}`);
  expect(answer.status).toBe(200);
  return Buffer.from(await answer.arrayBuffer());
}

describe('large data URIs in a call of edit_image', () => {
  it('are its images', async () => {
    const { id } = await edit({ images: [uri, `${rig.images.url}/red.png`, ` ${uri}`] });
    for (const slot of [1, 3]) expect((await input(id, slot)).equals(png)).toBe(true);
    expect((await input(id, 2)).equals(png)).toBe(false);
  });

  it('may be its mask', async () => {
    const mask = await noisyImage(384, 256).png().toBuffer();
    const { id } = await edit({
      images: [`${rig.images.url}/red.png`],
      mask: `data:;base64,${mask.toString('base64')}`,
    });
    await input(id, 'mask');
  });

  it('are no images anywhere else', async () => {
    const begin = uri.slice(0, 40);
    const image = `${rig.images.url}/red.png`;
    for (const [args, message] of [
      [{ prompt: uri }, begin],
      [{ seed: uri }, begin],
      [{ parameters: { mask: uri } }, 'parameters.mask is not a parameter'],
      [{ images: [image, image, image, uri] }, 'takes a list of 1 to 3 images'],
      [{ images: [image], mask: [uri] }, begin],
      [{ images: [`${rig.images.url}/${uri}`] }, 'images[0]: a URL longer than 8192 characters'],
    ] as const) {
      const { text, id } = await edit({ images: [uri], ...args });
      expect(id).toBeUndefined();
      expect(text).toContain(message);
      expect(text).not.toContain('inline-');
    }
  });
});
