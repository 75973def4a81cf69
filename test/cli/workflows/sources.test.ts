import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadWorkflow } from '../../../src/workflows/files/load.ts';
import { qwenEdit } from '../../support/clients/cli.ts';
import { draftOf, version04 } from '../../support/comfyui/published/editor.ts';
import { changed, plain } from '../../support/comfyui/published/graphs.ts';
import { DESCRIBED_CLASSES, recordedInfo } from '../../support/comfyui/workflows.ts';
import { pngChunk } from '../../support/png.ts';
import { listen } from '../../support/servers.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sources-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** `workflows new` for a file with this content. */
async function made(name: string, content: string | Uint8Array, words: readonly string[] = []) {
  const path = join(folder, name);
  await writeFile(path, content);
  return qwenEdit(['workflows', 'new', '--from', path, '--dir', folder, '--name', 'mine', ...words]);
}

const editor = JSON.stringify(version04(draftOf(plain())));

const pixels = () => sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } });

type Chunk = [type: 'tEXt' | 'zTXt' | 'iTXt', keyword: string, text: string];

/** A PNG with texts, as ComfyUI and savers of node packs write them. */
async function png(chunks: readonly Chunk[]): Promise<Buffer> {
  const image = await pixels().png().toBuffer();
  const texts = chunks.map(([type, keyword, text]) => {
    const body =
      type === 'tEXt'
        ? `${keyword}\0${text}`
        : type === 'zTXt'
          ? Buffer.concat([Buffer.from(`${keyword}\0\0`), deflateSync(Buffer.from(text, 'latin1'))])
          : Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`), Buffer.from(text)]);
    return pngChunk(type, body);
  });
  // After the signature and the header.
  return Buffer.concat([image.subarray(0, 33), ...texts, image.subarray(33)]);
}

describe('workflows new, for an image that carries its workflow', () => {
  it.each<[string, Chunk[]]>([
    ['the prompt of a PNG', [['tEXt', 'prompt', JSON.stringify(plain())]]],
    ['the workflow of a PNG', [['tEXt', 'workflow', editor]]],
    ['compressed texts', [['zTXt', 'workflow', editor]]],
    ['international texts', [['iTXt', 'prompt', JSON.stringify(plain())]]],
    [
      'a prompt with NaN, as Python writes it',
      [
        [
          'tEXt',
          'prompt',
          JSON.stringify({ ...plain(), '3': { ...plain()['3'], is_changed: ['?'] } }).replace('"?"', 'NaN'),
        ],
      ],
    ],
    [
      'the workflow, where the prompt is of another graph',
      [
        ['tEXt', 'prompt', JSON.stringify({ '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } } })],
        ['tEXt', 'workflow', editor],
      ],
    ],
  ])('takes %s', async (_, chunks) => {
    const { code, err } = await made('ComfyUI_00001_.png', await png(chunks));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(await loadWorkflow(join(folder, 'mine'), 'mine')).toMatchObject({
      manifest: { inputs: { prompt: { node: '111', input: 'prompt' } } },
    });
  });

  it.each(['webp', 'jpeg'] as const)('takes the EXIF of a %s', async format => {
    const exif = { IFD0: { Make: `workflow:${editor}`, Model: `prompt:${JSON.stringify(plain())}` } };
    const image = await pixels().withExif(exif)[format]().toBuffer();
    const { code, err } = await made(`saved.${format}`, image);
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  it('says that an image has none, and what is wrong with one that is torn', async () => {
    const bare = await pixels().png().toBuffer();
    expect(await made('bare.png', bare)).toMatchObject({
      code: 1,
      err: expect.stringContaining('is an image without a workflow'),
    });
    expect(await made('torn.png', bare.subarray(0, 20))).toMatchObject({
      code: 1,
      err: expect.stringContaining('cannot be read as an image'),
    });
  });
});

describe('workflows new, where it has to choose', () => {
  const several = JSON.stringify(
    changed({ '61': { class_type: 'PreviewImage', inputs: { images: ['93', 0] } } }),
  );

  it('says which output it chose, and takes another by --output', async () => {
    const { out } = await made('graph.json', several);
    expect(out).toContain('output: node 60 (SaveImage); --output chooses another: node 61 (PreviewImage)');
    const other = await made('graph.json', several, ['--force', '--output', '61']);
    // Nothing is sampled for that output.
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining('the graph lacks: a sampler') });
    const unknown = await made('graph.json', several, ['--output', '99']);
    expect(unknown).toMatchObject({
      code: 1,
      err: expect.stringMatching(/--output: got "99"; takes a node .*: node 60 \(SaveImage\), node 61/),
    });
  });

  it('learns the widgets of an unknown class from an engine', async () => {
    const draft = draftOf(plain());
    const sampler = draft.nodes.find(({ id }) => id === 111);
    if (sampler === undefined) throw new Error('no encoder');
    Object.assign(sampler, { type: 'EncoderOfAPack', widgets_values: ['edit', 'p', 1] });
    const file = JSON.stringify(version04(draft));
    const alone = await made('graph.json', file);
    expect(alone).toMatchObject({
      code: 1,
      err: expect.stringMatching(/node 111 \(EncoderOfAPack\) has 3 values without names.*--engine/),
    });
    const widgets = { mode: [['edit', 'keep']], prompt: ['STRING'], strength: ['FLOAT', { min: 0, max: 2 }] };
    const links = { clip: ['CLIP'], vae: ['VAE'], image1: ['IMAGE'], image2: ['IMAGE'] };
    const pack = {
      EncoderOfAPack: { input: { required: { ...links, ...widgets } }, output: ['CONDITIONING'] },
    };
    const classes = { ...DESCRIBED_CLASSES, ...(await recordedInfo('0.8.0')) };
    const engine = createServer((_, response) => response.end(JSON.stringify({ ...classes, ...pack })));
    const port = await listen(engine);
    try {
      const { code, out } = await made('graph.json', file, ['--engine', `http://127.0.0.1:${port}`]);
      expect([code, out]).toEqual([
        0,
        expect.stringContaining('prompt: node 111 (EncoderOfAPack), input prompt'),
      ]);
    } finally {
      engine.closeAllConnections();
      engine.close();
    }
  });
});
