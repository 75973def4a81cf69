import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edit as apollo } from '../../examples/clients/apollo.ts';
import { edit as graphqlSse } from '../../examples/clients/graphql-sse.ts';
import { edit as graphqlWs } from '../../examples/clients/graphql-ws.ts';
import { edit as plainFetch } from '../../examples/clients/plain-fetch.ts';
import { edit as qwenClient } from '../../examples/clients/qwen-client.ts';
import { edit as relay } from '../../examples/clients/relay.ts';
import type { Progress } from '../../examples/clients/run.ts';
import { edit as urql } from '../../examples/clients/urql.ts';
import { startSandbox } from '../../src/sandbox/server.ts';
import { type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { until } from '../support/watch.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What a program prints; rejects with it when it fails. */
async function run(program: string, words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, words, { cwd: ROOT });
  return stdout;
}

describe('examples', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '20ms' });
  });
  afterAll(() => rig.close());

  it.each(Object.entries({ qwenClient, plainFetch, graphqlWs, graphqlSse, relay, urql, apollo }))(
    '%s edits, follows the progress and fetches the picture',
    async (_, edit) => {
      const seen: Progress[] = [];
      const bytes = await edit(rig.url, `${rig.images.url}/red.png`, job => seen.push({ ...job }));
      expect((await sharp(bytes).metadata()).format).toBe('png');
      // What urql and Apollo show is their query: that it moves is the normalised cache's doing, by nobody's code.
      expect(seen.filter(({ status }) => status === 'PROCESSING').length).toBeGreaterThan(3);
      expect(seen.at(-1)).toMatchObject({ status: 'COMPLETED', progress: 100 });
      const progress = seen.map(job => job.progress);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
    },
  );

  it.concurrent.each(['plain-fetch', 'graphql-ws', 'graphql-sse', 'urql', 'apollo', 'relay', 'qwen-client'])(
    '%s says in a line what it needs, or what it has not got',
    async name => {
      const file = `examples/clients/${name}.ts`;
      const usage = `Give the URL of an image: npx node ${file} <image-url> [gateway] [file]\n`;
      const failed = (words: string[]) => run(process.execPath, [file, ...words]);
      await expect(failed([])).rejects.toMatchObject({ code: 2, stderr: usage });
      const closed = await startImageServer();
      await closed.close();
      await expect(failed([`${rig.images.url}/red.png`, closed.url])).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^There is no edited image: .*\n$/),
      });
    },
  );

  it.each([
    ['curl', 'sh', 'examples/clients/curl.sh', /^id: \d+\ndata: \{"status":"completed"/m],
    ['a program of its own', process.execPath, 'examples/clients/plain-fetch.ts', /^COMPLETED 100 %$/m],
  ])('run as %s from the command line', async (_, program, file, says) => {
    const folder = await mkdtemp(join(tmpdir(), 'examples-'));
    const saved = join(folder, 'edited.png');
    const output = await run(program, [file, `${rig.images.url}/red.png`, rig.url, saved]);
    expect(output).toMatch(says);
    expect(output).toContain(`Saved ${saved}`);
    expect((await sharp(await readFile(saved)).metadata()).format).toBe('png');
    await rm(folder, { recursive: true });
  });

  it('go on watching after the gateway was restarted', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'examples-'));
    const engines = await Promise.all(Array.from({ length: 4 }, () => startSandbox({ stepMs: 600 })));
    const settings = { COMFYUI_URL: engines.map(engine => engine.url).join() };
    let gateway = await startGatewayProcess(folder, settings);
    try {
      const { url } = gateway;
      const image = `${rig.images.url}/red.png`;
      const watchers = Object.entries({ qwenClient, plainFetch, graphqlWs, graphqlSse, relay, urql, apollo });
      const seen = new Map<string, Progress[]>();
      const edits = Promise.all(
        watchers.map(async ([name, edit]) => {
          seen.set(name, []);
          const bytes = await edit(url, image, job => seen.get(name)?.push({ ...job }));
          return [name, (await sharp(bytes).metadata()).format];
        }),
      );
      const saved = join(folder, 'edited.png');
      const curl = run('sh', ['examples/clients/curl.sh', image, url, saved]);
      await Promise.race([edits, until(() => [...seen.values()].every(({ length }) => length > 0))]);
      // That of curl comes last.
      await until(async () => {
        const { jobs } = await (await fetch(`${url}/jobs`)).json();
        return Object.keys(jobs).length === watchers.length + 1;
      });
      expect(await gateway.end('SIGTERM')).toBe(0);
      gateway = await startGatewayProcess(folder, { ...settings, PORT: new URL(url).port });
      expect(await edits).toEqual(watchers.map(([name]) => [name, 'png']));
      for (const [name, jobs] of seen) {
        const progress = jobs.map(job => job.progress);
        expect([name, progress]).toEqual([name, [...progress].sort((a, b) => a - b)]);
        expect([name, jobs.at(-1)?.status]).toEqual([name, 'COMPLETED']);
      }
      expect(await curl).toContain(`Saved ${saved}`);
    } finally {
      await gateway.end('SIGKILL');
      await Promise.all(engines.map(engine => engine.stop()));
      await rm(folder, { recursive: true, force: true });
    }
  });
});
