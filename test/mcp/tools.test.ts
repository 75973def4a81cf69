import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type Progress, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROGRAM } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS, as, fetchJson, KEYS, submit } from '../support/requests.ts';
import { inherited } from '../support/temporary-folder.ts';

/** Of a size that the workflows do not change. */
const QUICK = { prompt: 'a red door' } as const;
/** Takes minutes in the sandbox: it is still there when a test looks at it. */
const SLOW = { prompt: 'slow', steps: 100, workflow: 'qwen-image-edit-plus' } as const;

let quick: Rig;
let slow: Rig;
let folder: string;
let image: string;
beforeAll(async () => {
  [quick, slow] = await Promise.all([startRig({ API_KEYS }), startRig({ API_KEYS, SANDBOX_STEP: '1s' })]);
  folder = await mkdtemp(join(tmpdir(), 'mcp-'));
  const png = await sharp({ create: { width: 384, height: 320, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  await writeFile(join(folder, 'red.png'), png);
  image = `data:image/png;base64,${png.toString('base64')}`;
});
afterAll(async () => {
  await Promise.all([quick.close(), slow.close()]);
  await rm(folder, { recursive: true });
});

type Transport = 'streamable HTTP' | 'standard input and output';

async function connect(
  { url }: Rig,
  transport: Transport,
  mode: 'legacy' | 'auto',
  key: string = KEYS.alice,
): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
  await client.connect(
    transport === 'streamable HTTP'
      ? new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers: as(key) } })
      : new StdioClientTransport({
          command: process.execPath,
          args: [PROGRAM, 'mcp', '--url', url, '--directory', folder],
          env: { ...inherited(), QWEN_EDIT_API_KEY: key },
        }),
  );
  return client;
}

async function statusOf({ url }: Rig, id: string): Promise<unknown> {
  const { body } = await fetchJson(`${url}/status/${id}`, { headers: as(KEYS.olga) });
  return body.error_code ?? body.status;
}

/** The newest job of Alice. */
async function newestJob({ url }: Rig): Promise<string | undefined> {
  const { body } = await fetchJson(`${url}/jobs?limit=1`, { headers: as(KEYS.alice) });
  return Object.keys(Object(body.jobs))[0];
}

describe.each<[Transport, 'legacy' | 'auto', string]>([
  ['streamable HTTP', 'auto', '2026-07-28'],
  ['streamable HTTP', 'legacy', '2025-11-25'],
  ['standard input and output', 'auto', '2026-07-28'],
  ['standard input and output', 'legacy', '2025-11-25'],
])(
  'the tools over %s, in the revision that a client with negotiation %s gets',
  (transport, mode, version) => {
    let client: Client;
    let slowClient: Client;
    beforeAll(async () => {
      [client, slowClient] = await Promise.all([
        connect(quick, transport, mode),
        connect(slow, transport, mode),
      ]);
    });
    afterAll(() => Promise.all([client.close(), slowClient.close()]));

    it('are listed with what they do', async () => {
      expect(client.getNegotiatedProtocolVersion()).toBe(version);
      const { tools } = await client.listTools();
      const hints = tools.map(({ name, annotations }) => [name, annotations?.readOnlyHint]);
      expect(hints).toEqual([
        ['edit_image', false],
        ['watch_edit', true],
        ['get_image', true],
        ['cancel_edit', false],
        ['list_workflows', true],
      ]);
      const [edit] = tools;
      expect(edit?.description).toContain('cancels the job unless keep_running is true');
      expect(edit?.inputSchema.required).toEqual(['images', 'prompt']);
      expect(JSON.stringify(edit?.inputSchema).includes('path of a file')).toBe(
        transport !== 'streamable HTTP',
      );
    });

    it('edit an image with progress, and return it with a link to the whole one', async () => {
      const progress: Progress[] = [];
      const result = await client.callTool(
        { name: 'edit_image', arguments: { ...QUICK, images: [image], steps: 20 } },
        { onprogress: each => progress.push(each) },
      );
      expect(result).toMatchObject({
        structuredContent: { status: 'completed', progress: 100, images: [{ width: 1136, height: 928 }] },
        content: [{ type: 'text' }, { type: 'image', mimeType: 'image/jpeg' }, { type: 'resource_link' }],
      });
      const values = progress.map(each => each.progress);
      expect(values.length).toBeGreaterThan(1);
      expect(values).toEqual([...new Set(values)].toSorted((a, b) => a - b));
      expect(progress.at(-1)).toMatchObject({ total: 100 });
      const [, shown, link] = result.content;
      const data = shown?.type === 'image' ? Buffer.from(shown.data, 'base64') : Buffer.alloc(0);
      expect(await sharp(data).metadata()).toMatchObject({ format: 'jpeg', width: 1024, height: 837 });
      const whole = await fetch(link?.type === 'resource_link' ? link.uri : '');
      expect([whole.status, whole.headers.get('content-type')]).toEqual([200, 'image/png']);
      await whole.arrayBuffer();
    });

    it('go on with a job that has not ended in time, edit its result, and scale images down', async () => {
      const { structuredContent, content } = await client.callTool({
        name: 'edit_image',
        arguments: { ...QUICK, images: [image], steps: 20, wait_seconds: 0 },
      });
      const { job_id } = Object(structuredContent);
      expect(content).toMatchObject([{ type: 'text', text: expect.stringContaining('watch_edit') }]);
      const watched = await client.callTool({ name: 'watch_edit', arguments: { job_id } });
      expect(watched.structuredContent).toMatchObject({ job_id, status: 'completed' });
      const again = await client.callTool({
        name: 'edit_image',
        arguments: { ...QUICK, images: [`job:${job_id}`] },
      });
      expect(again.structuredContent).toMatchObject({ status: 'completed' });
      const small = await client.callTool({ name: 'get_image', arguments: { job_id, max_side: 96 } });
      const [shown] = small.content;
      const data = shown?.type === 'image' ? Buffer.from(shown.data, 'base64') : Buffer.alloc(0);
      expect(await sharp(data).metadata()).toMatchObject({ format: 'jpeg', width: 96, height: 78 });
    });

    it('cancel the job of a canceled call, unless it shall keep running', async () => {
      const cancelOnceSeen = async (extra: object): Promise<string> => {
        const before = await newestJob(slow);
        const leave = new AbortController();
        const call = slowClient.callTool(
          { name: 'edit_image', arguments: { ...SLOW, images: [image], ...extra } },
          { signal: leave.signal, onprogress: () => leave.abort() },
        );
        await expect(call).rejects.toThrow();
        const id = await newestJob(slow);
        expect(id).not.toBe(before);
        return String(id);
      };
      const canceled = await cancelOnceSeen({});
      await expect.poll(() => statusOf(slow, canceled)).toBe('CANCELED');

      const kept = await cancelOnceSeen({ keep_running: true });
      const leave = new AbortController();
      const watching = slowClient.callTool(
        { name: 'watch_edit', arguments: { job_id: kept } },
        { signal: leave.signal, onprogress: () => leave.abort() },
      );
      await expect(watching).rejects.toThrow();
      // Behind both cancellations on the same connection.
      const now = await slowClient.callTool({
        name: 'watch_edit',
        arguments: { job_id: kept, wait_seconds: 0 },
      });
      expect(now.isError).not.toBe(true);
      const unfinished = await slowClient.callTool({ name: 'get_image', arguments: { job_id: kept } });
      expect(unfinished).toMatchObject({
        isError: true,
        content: [{ text: expect.stringMatching(/^JOB_NOT_FINAL/) }],
      });
      const ended = await slowClient.callTool({ name: 'cancel_edit', arguments: { job_id: kept } });
      expect(ended).toMatchObject({ content: [{ text: `The job ${kept} is canceled.` }] });
      expect(await statusOf(slow, kept)).toBe('CANCELED');
      const after = await slowClient.callTool({ name: 'watch_edit', arguments: { job_id: kept } });
      expect(after).toMatchObject({ isError: true, content: [{ text: expect.stringMatching(/^CANCELED/) }] });
    });

    it('say what is wrong, and know no job of another caller', async () => {
      const bobs = await submit(quick, {}, as(KEYS.bob));
      const textOf = async (name: string, args: object): Promise<string> => {
        const { isError, content } = await client.callTool({ name, arguments: { ...args } });
        expect(isError).toBe(true);
        return content.map(each => (each.type === 'text' ? each.text : each.type)).join();
      };
      for (const name of ['watch_edit', 'get_image', 'cancel_edit']) {
        for (const job_id of [bobs, '00000000-0000-4000-8000-000000000000']) {
          expect(await textOf(name, { job_id })).toMatch(/^JOB_NOT_FOUND: /);
        }
      }
      expect(await textOf('edit_image', { images: [], prompt: 'x' })).toContain(
        'images: takes a list of 1 to 3 images',
      );
      expect(await textOf('edit_image', { images: [image], prompt: 'x', steps: 0 })).toContain(
        'steps: takes an integer from 1 to 100, got 0',
      );
      expect(await textOf('edit_image', { images: [image], prompt: 'x', workflow: 'none' })).toMatch(
        /^WORKFLOW_INVALID: .*none/,
      );
      expect(await textOf('edit_image', { images: ['data:,x'], prompt: 'x' })).toMatch(/^INPUT_/);
      expect(await textOf('edit_image', { images: ['http://10.0.0.1/x.png'], prompt: 'x' })).toMatch(
        /^INPUT_BLOCKED: /,
      );
    });

    it('list the workflows with their parameters', async () => {
      const { structuredContent } = await client.callTool({ name: 'list_workflows' });
      expect(Object(structuredContent).workflows).toContainEqual(
        expect.objectContaining({
          name: 'qwen-image-edit-plus-lightning',
          runnable: true,
          takes_mask: false,
          parameters: expect.arrayContaining([
            expect.objectContaining({ name: 'lightning', type: 'integer', options: [8, 4] }),
          ]),
        }),
      );
    });
  },
);
