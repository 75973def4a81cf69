import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeApiKey } from '../../src/http/access/api-keys.ts';
import { qwenEdit, qwenEditOnTerminal } from '../support/clients/cli.ts';
import { startStandIn } from '../support/clients/stand-in.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type CutProxy, startCutProxy, startSilentProxy } from '../support/proxies.ts';

let rig: Rig;
let folder: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '50ms' });
  folder = await mkdtemp(join(tmpdir(), 'cli-connection-'));
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

async function startJob(steps: number): Promise<string> {
  const words = [
    'edit',
    `${rig.images.url}/red.png`,
    '-p',
    'x',
    '--megapixels',
    '0.25',
    '--steps',
    `${steps}`,
  ];
  return (await qwenEdit(words, { QWEN_EDIT_URL: rig.url })).out.trim();
}

/** A URL where no server listens. */
async function nowhere(): Promise<string> {
  const gone = await startStandIn(() => {});
  await gone.stop();
  return gone.url;
}

describe('without a gateway', () => {
  it('watch fails at once with the reason', async () => {
    const before = performance.now();
    const { code, err } = await qwenEdit(['watch', 'x', '--url', await nowhere()]);
    expect(code).toBe(75);
    expect(err).toMatch(/cannot be reached: .*ECONNREFUSED.*\n.*--url/);
    // A watch by itself retries for a minute.
    expect(performance.now() - before).toBeLessThan(20_000);
  });

  it('edit reports it at once, and submits once the gateway is there', async () => {
    const url = await nowhere();
    let gateway: Rig | undefined;
    let starting: Promise<void> | undefined;
    const { code, out, err } = await qwenEdit(
      ['edit', `${rig.images.url}/red.png`, '-p', 'x'],
      { QWEN_EDIT_URL: url },
      {
        onError(_, text) {
          if (!text.includes('retrying')) return;
          starting ??= startRig({ PORT: new URL(url).port }).then(started => {
            gateway = started;
          });
        },
      },
    );
    await starting;
    await gateway?.close();
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^[0-9a-f-]{36}\n$/) });
    expect(err).toMatch(/^http:\S+ cannot be reached: .*ECONNREFUSED.*; retrying for a few seconds\n$/);
  });
});

describe('a watch', () => {
  let proxy: CutProxy;
  beforeEach(async () => {
    proxy = await startCutProxy(rig.url);
  });
  afterEach(() => proxy.stop());

  it('of an unknown job reports that', async () => {
    expect(await qwenEdit(['watch', 'x'], { QWEN_EDIT_URL: rig.url })).toMatchObject({
      code: 1,
      out: '',
      err: 'Job not found: x\n',
    });
  });

  /** Cuts the watch's connection and restores it after a few retries. */
  async function lose(): Promise<void> {
    // Before, it would be no lost connection, but one that could not be made.
    await expect.poll(() => proxy.results).toBeGreaterThan(0);
    proxy.let('nothing');
    proxy.cut();
    const { made } = proxy;
    // Each transport is tried once before a pause.
    await expect.poll(() => proxy.made).toBeGreaterThan(made + 4);
    proxy.let('all');
  }

  it.each([
    ['lines', []],
    ['--json', ['--json']],
  ])('reports a lost connection once and resumes, with %s', async (_, more) => {
    const watching = qwenEdit(['watch', await startJob(40), ...more], { QWEN_EDIT_URL: proxy.url });
    await lose();
    const { code, out, err } = await watching;
    expect(code).toBe(0);
    expect(err.match(/; reconnecting\n/g)).toHaveLength(1);
    expect(`${out}${err}`).toContain('COMPLETED');
  });

  it('shows a lost connection in the bar', async () => {
    const watching = qwenEditOnTerminal(
      ['watch', await startJob(40)],
      { QWEN_EDIT_URL: proxy.url, TERM: 'xterm-256color' },
      { cwd: folder },
    );
    await lose();
    const { code, screen } = await watching;
    expect(code).toBe(0);
    expect(screen).toMatch(/ {2}reconnecting.* 100\.0 % {2}COMPLETED(?!.*reconnecting)/s);
  });

  it('ends with Ctrl-C after the network dropped its connection silently', async () => {
    const silent = await startSilentProxy(rig.url);
    const id = await startJob(100);
    let sent = false;
    const { code, err } = await qwenEdit(
      ['watch', id],
      { QWEN_EDIT_URL: silent.url },
      {
        onError(child, text) {
          if (sent || !text.includes('SAMPLING')) return;
          sent = true;
          silent.silence();
          child.kill('SIGINT');
        },
      },
    );
    expect(code).toBe(130);
    expect(err).toContain('The job goes on.');
    await silent.stop();
  });
});

describe('a rejected request', () => {
  it('names the option for the API key', async () => {
    const closed = await startRig({ API_KEYS: makeApiKey('alice', 'user').entry });
    const commands = [['watch', 'x'], ['jobs'], ['download', 'x', '-o', 'x.png']];
    const run = (words: string[]) => qwenEdit(words, { QWEN_EDIT_URL: closed.url }, { cwd: folder });
    for (const { code, err } of await Promise.all(commands.map(run))) {
      expect(code).toBe(1);
      expect(err).toMatch(/\nSet your API key with --api-key or QWEN_EDIT_API_KEY\.\n$/);
    }
    await closed.close();
  });

  it('names the address and its option when no gateway is there', async () => {
    const { code, err } = await qwenEdit(['jobs', '--url', `${rig.url}/graphql`]);
    expect(code).toBe(1);
    expect(err).toMatch(/^There is no gateway at http:\S+\/graphql\/graphql: .*\n.*--url/);
  });
});

describe('a download', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ended by %s leaves the target file untouched', async (signal, code) => {
    const place = await mkdtemp(join(folder, 'download-'));
    await writeFile(join(place, 'out.png'), 'before');
    const server = await startStandIn((_, response) => {
      response.writeHead(200, { 'content-type': 'image/png', 'content-length': '1000' }).write('half');
    });
    let ended: Promise<void> | undefined;
    const ran = await qwenEdit(
      ['download', 'x', '-o', 'out.png'],
      { QWEN_EDIT_URL: server.url },
      {
        cwd: place,
        onStart(child) {
          ended = expect
            .poll(() => readdir(place))
            .toContain('out.png.part')
            .then(() => {
              child.kill(signal);
            });
        },
      },
    );
    await ended;
    expect(ran).toMatchObject({ code, out: '', err: 'The image was not saved.\n' });
    expect(await readdir(place)).toEqual(['out.png']);
    await server.stop();
  });

  it('that breaks off is reported once', async () => {
    const server = await startStandIn((_, response) => {
      response.writeHead(200, { 'content-type': 'image/png', 'content-length': '1000' });
      response.write('half', () => response.destroy());
    });
    const { code, err } = await qwenEdit(
      ['download', 'x', '-o', 'broken.png'],
      { QWEN_EDIT_URL: server.url },
      { cwd: folder },
    );
    expect(code).toBe(75);
    expect(err.match(/broke off/g)).toHaveLength(1);
    expect(await readdir(folder)).not.toContain('broken.png.part');
    await server.stop();
  });
});
