import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type TransportName } from '../../src/client/client.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type SilentProxy, startSilentProxy } from '../support/proxies.ts';

let rig: Rig;
let proxy: SilentProxy;
const programs: ChildProcess[] = [];
beforeAll(async () => {
  // So slow that no job ends during a test.
  rig = await startRig({ SANDBOX_STEP: '10s', OPERATIONS_PER_SOCKET: '3' });
  proxy = await startSilentProxy(rig.url);
});
afterAll(async () => {
  for (const program of programs) program.kill('SIGKILL');
  await proxy.stop();
  await rig.close();
});

const input = () => ({ images: [`${rig.images.url}/red.png`], prompt: 'x', steps: 100 });

async function startJob(): Promise<string> {
  const client = createClient({ url: rig.url });
  const job = await client.edit(input());
  if (job.__typename !== 'EditJob') throw new Error(job.message);
  return job.id;
}

/** Runs a program with the client under test as its own process. Resolves with its output when it exits by itself. */
async function run(program: string): Promise<string> {
  const client = new URL('../../src/client/client.ts', import.meta.url);
  const text = `import { createClient } from '${client}';\n${program}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  programs.push(child);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, 'close');
  return output;
}

/** Ways to end a watch whose reader is between two calls of `next()`, or waits. Each prints `left` when it has ended. */
const WAYS = {
  break: 'for await (const job of client.watch(id)) break; console.log("left");',
  'return()':
    'const watch = client.watch(id); await watch.next(); await watch.return(); console.log("left");',
  'return() while it waits': `
    const watch = client.watch(id); await watch.next();
    const waiting = (async () => { for (;;) if ((await watch.next()).done) return; })();
    await watch.return(); await waiting; console.log("left");`,
  'a signal': `
    const leave = new AbortController();
    const watch = client.watch(id, { signal: leave.signal }); await watch.next();
    leave.abort(new Error("left")); await watch.next().catch(error => console.log(error.message));`,
  'a signal between two next()': `
    const leave = new AbortController();
    await client.watch(id, { signal: leave.signal }).next(); leave.abort(); console.log("left");`,
  'close()': `
    const watch = client.watch(id); await watch.next(); const waiting = (async () => { for (;;) await watch.next(); })();
    await client.close(); await waiting.catch(({ name, kind }) => console.log(name === "GatewayError" && kind === "closed" ? "left" : name));`,
  'close() between two next()': `
    const watch = client.watch(id); await watch.next(); await client.close();
    await watch.next().catch(({ kind }) => console.log(kind === "closed" ? "left" : kind));`,
};

describe.each<TransportName>(['websocket', 'sse'])('a watch over %s that is ended', transport => {
  it.concurrent.each(Object.entries(WAYS))('by %s keeps no process alive', async (_, leave) => {
    const id = await startJob();
    const made = `const client = createClient({ url: '${rig.url}', transports: ['${transport}'] }); const id = '${id}';`;
    expect(await run(made + leave)).toBe('left\n');
    const { data } = await rig.graphql<{ job: { status: string } }>(`{ job(id: "${id}") { status } }`);
    expect(data?.job.status).not.toBe('COMPLETED');
  });

  it('frees its slot for the next, each time', async () => {
    const client = createClient({ url: rig.url, transports: [transport] });
    const id = await startJob();
    for (let count = 0; count < 10; count += 1) {
      for await (const job of client.watch(id)) {
        expect(job.id).toBe(id);
        break;
      }
    }
    await client.close();
  });
});

describe('a watch', () => {
  it('over the limit rejects at once', async () => {
    const client = createClient({ url: rig.url, transports: ['websocket'] });
    const id = await startJob();
    const watches = [client.watch(id), client.watch(id), client.watch(id)];
    for (const watch of watches) await watch.next();
    await expect(client.watch(id).next()).rejects.toMatchObject({
      kind: 'refused',
      code: 'TOO_MANY_SUBSCRIPTIONS',
      retryable: true,
    });
    await watches[0]?.return?.();
    expect((await client.watch(id).next()).done).toBe(false);
    await client.close();
  });

  it('resolves pending calls of next() in order', async () => {
    const client = createClient({ url: rig.url });
    const watch = client.watch(await startJob());
    const both = [watch.next(), watch.next()];
    expect((await both[0])?.done).toBe(false);
    await watch.return?.();
    expect((await both[1])?.done).toBe(true);
    await client.close();
  });
});

describe('a client that is closed', () => {
  it('rejects what is under way, and all that is asked later, by its own kind of error', async () => {
    const client = createClient({ url: proxy.url });
    await client.jobs({ first: 1 });
    proxy.silence();
    const calls = [
      () => client.job('x'),
      () => client.edit(input()),
      () => client.wait('x'),
      () => client.download('x'),
      () => client.upload(new Blob(['x'])),
    ];
    const underway = calls.map(call => call());
    await client.close();
    for (const call of [...underway, ...calls.map(later => later())]) {
      await expect(call).rejects.toMatchObject({ name: 'GatewayError', kind: 'closed', retryable: false });
    }
  });
});
