import { fdatasync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type WebSocket as Client, WebSocket, WebSocketServer } from 'ws';
import { editGraph } from '../../test/support/comfyui/sandbox.ts';
import { picture } from './rig.ts';
import { snapshotOf } from './snapshot.ts';

/**
 * The least that a run can cost: `ws` as a client of the engine and as a server. Told `{run: {engine, steps}}` it has the engine
 * execute the prompt of a small edit, and answers `{ran}` after its end. Every event is parsed; of each step all sockets are sent
 * a text as long as ours. With `--store <folder>` the text is first appended to a file, which is flushed.
 */
const folder = process.argv[process.argv.indexOf('--store') + 1];
const file =
  process.argv.includes('--store') && folder !== undefined ? openSync(join(folder, 'steps'), 'a') : null;
const flush = promisify(fdatasync);
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
server.on('listening', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`ws://127.0.0.1:${address.port}`);
});

interface Run {
  readonly engine: string;
  readonly steps: number;
}

process.on('message', ({ run: what }: { run?: Run }) => {
  if (what === undefined) return;
  run(what).then(
    () => process.send?.({ ran: true }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});

async function run({ engine, steps }: Run): Promise<void> {
  const id = crypto.randomUUID();
  const socket = new WebSocket(`${engine.replace('http', 'ws')}/ws?clientId=${id}`, {
    perMessageDeflate: false,
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const ended = follow(socket, id, steps);
  const [, base64 = ''] = (await picture()).split(',');
  const form = new FormData();
  form.set('image', new Blob([Buffer.from(base64, 'base64')]), 'small.png');
  await fetch(`${engine}/upload/image`, { method: 'POST', body: form });
  // The engine executes a prompt that it knows no second time.
  const prompt = editGraph({ image: 'small.png', prefix: id, seed: Date.now(), steps, megapixels: 0.1 });
  const body = JSON.stringify({ prompt, client_id: id, prompt_id: id });
  const answer = await fetch(`${engine}/prompt`, { method: 'POST', body });
  if (!answer.ok) throw new Error(await answer.text());
  await ended;
  socket.close();
}

/** Resolves at the end of the prompt. */
function follow(socket: Client, id: string, steps: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('message', (data, isBinary) => {
      if (isBinary) return;
      const { type, data: about } = JSON.parse(String(data));
      if (type === 'progress') tell(id, about.value, steps).catch(reject);
      else if (type === 'execution_success') resolve();
      else if (type === 'execution_error') reject(new Error(about.exception_message));
    });
  });
}

async function tell(id: string, step: number, steps: number): Promise<void> {
  const data = { jobProgress: snapshotOf(id, step, steps) };
  const text = JSON.stringify({ id, type: 'next', payload: { data } });
  if (file !== null) {
    writeSync(file, `${text}\n`);
    await flush(file);
  }
  for (const client of server.clients) client.send(text);
}
