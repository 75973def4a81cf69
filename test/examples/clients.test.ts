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
import { type Rig, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';

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
});
