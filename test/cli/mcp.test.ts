import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROGRAM, qwenEdit } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { noisyImage, plainImage } from '../support/images.ts';
import { fetchJson } from '../support/requests.ts';
import { inherited } from '../support/temporary-folder.ts';

let rig: Rig;
let folder: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '20ms' });
  folder = await mkdtemp(join(tmpdir(), 'mcp-'));
  await mkdir(join(folder, 'allowed', 'below'), { recursive: true });
  const png = await plainImage(64, 64).png().toBuffer();
  await writeFile(join(folder, 'allowed', 'red.png'), png);
  await writeFile(join(folder, 'allowed', 'below', 'red.png'), png);
  await writeFile(join(folder, 'outside.png'), png);
  await writeFile(join(folder, 'allowed', 'key.png'), 'a secret');
  await symlink(join(folder, 'outside.png'), join(folder, 'allowed', 'link.png'));
  await symlink(join(folder, 'allowed', 'red.png'), join(folder, 'allowed', 'inner.png'));
  execFileSync('mkfifo', [join(folder, 'allowed', 'pipe.png')]);
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

async function connect(words: readonly string[]): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' });
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [PROGRAM, 'mcp', ...words],
      env: { ...inherited(), QWEN_EDIT_URL: rig.url },
      stderr: 'ignore',
    }),
  );
  return client;
}

async function edit(client: Client, image: string): Promise<string> {
  const { content } = await client.callTool({
    name: 'edit_image',
    arguments: { images: [image], prompt: 'x', megapixels: 0.1, steps: 1, wait_seconds: 0 },
  });
  const [first] = content;
  return first?.type === 'text' ? first.text : '';
}

describe('qwen-edit mcp', () => {
  it('reads images in the allowed directories and nothing else', async () => {
    const client = await connect(['--directory', join(folder, 'allowed')]);
    try {
      const started = /^The job \S+ has not ended/;
      for (const path of ['red.png', 'below/red.png', 'inner.png', join(folder, 'allowed', 'red.png')]) {
        expect([path, await edit(client, path)]).toEqual([path, expect.stringMatching(started)]);
      }
      const missing = /^INVALID_INPUT: .*: no such file below /;
      for (const path of [
        join(folder, 'outside.png'),
        '../outside.png',
        'link.png',
        '/etc/passwd',
        'none.png',
        '',
      ]) {
        const found = await edit(client, path);
        expect([path, found]).toEqual([path, expect.not.stringMatching(started)]);
        if (path !== '') expect(found).toMatch(missing);
      }
      expect(await edit(client, 'key.png')).toMatch(/is not a JPEG, PNG or WebP image$/);
      expect(await edit(client, 'pipe.png')).toMatch(/is not a file$/);
      expect(await edit(client, 'below')).toMatch(/is not a file$/);
    } finally {
      await client.close();
    }
  });

  it('reads no file without --directory', async () => {
    const client = await connect([]);
    try {
      expect(await edit(client, join(folder, 'allowed', 'red.png'))).toMatch(/--directory <directory>$/);
    } finally {
      await client.close();
    }
  });

  it('returns images of at most 700 kB, however much detail they have', async () => {
    const client = await connect(['--directory', join(folder, 'allowed')]);
    try {
      const { structuredContent } = await client.callTool({
        name: 'edit_image',
        arguments: { images: ['red.png'], prompt: 'x', megapixels: 4, steps: 1 },
      });
      const { job_id, images } = Object(structuredContent);
      const [{ width, height }] = images;
      // What no sandbox makes: noise.
      const [file = ''] = globSync(`**/outputs/${job_id}/*`, { cwd: rig.dataDir });
      await writeFile(join(rig.dataDir, file), await noisyImage(width, height).png().toBuffer());
      const { content } = await client.callTool({
        name: 'get_image',
        arguments: { job_id, max_side: 2048 },
      });
      const [shown] = content;
      const bytes = shown?.type === 'image' ? Buffer.from(shown.data, 'base64') : Buffer.alloc(0);
      expect(bytes.byteLength).toBeLessThanOrEqual(700_000);
      const shrunk = await sharp(bytes).metadata();
      expect(shrunk.width).toBeGreaterThan(500);
      expect(shrunk.width).toBeLessThan(width);
    } finally {
      await client.close();
    }
  });

  it('cancels the jobs of calls in flight when standard input ends', async () => {
    const client = await connect(['--directory', join(folder, 'allowed')]);
    const leaving = client.callTool(
      { name: 'edit_image', arguments: { images: ['red.png'], prompt: 'left', steps: 100 } },
      { onprogress: () => void client.close() },
    );
    await expect(leaving).rejects.toThrow();
    const newest = async () => {
      const { body } = await fetchJson(`${rig.url}/jobs?limit=1`);
      const [id = ''] = Object.keys(Object(body.jobs));
      return (await fetchJson(`${rig.url}/status/${id}`)).body.error_code;
    };
    await expect.poll(newest).toBe('CANCELED');
  });

  it('says so when there is no gateway', async () => {
    const client = await connect(['--url', 'http://127.0.0.1:9']);
    try {
      const { isError, content } = await client.callTool({ name: 'list_workflows' });
      expect({ isError, content }).toMatchObject({
        isError: true,
        content: [{ text: expect.stringContaining('--url or QWEN_EDIT_URL') }],
      });
    } finally {
      await client.close();
    }
  });

  it('exits when standard input ends at once, with nothing on standard output', async () => {
    expect(await qwenEdit(['mcp'], { QWEN_EDIT_URL: rig.url })).toMatchObject({ code: 0, out: '' });
  });
});
