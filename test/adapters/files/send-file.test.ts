import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFileArtifacts } from '../../../src/adapters/files/artifacts.ts';
import type { Artifacts } from '../../../src/jobs/image-stores.ts';

const MIB = 1024 * 1024;
let root: string;
let artifacts: Artifacts;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'send-'));
  artifacts = createFileArtifacts(root);
});
afterAll(() => rm(root, { recursive: true }));

/** Keeps what comes; takes each piece after `pause`, as a socket that is slow. */
function sinkOf(pause: () => Promise<void> = async () => undefined) {
  const pieces: Buffer[] = [];
  const sink = new Writable({
    write(piece: Buffer, _encoding, done) {
      // Copied only when the next would be asked for: what was given must not have changed meanwhile.
      pause().then(() => {
        pieces.push(Buffer.from(piece));
        done();
      }, done);
    },
  });
  return { sink, bytes: () => Buffer.concat(pieces) };
}

async function senderOf(key: string, range?: { start: number; end: number }) {
  const sender = await artifacts.sender?.(key, range);
  if (sender === undefined || sender === null) throw new Error(`There is no ${key}`);
  return sender;
}

describe('sendFile', () => {
  it.each([0, 1, 128 * 1024, 128 * 1024 + 1, 3 * MIB + 7])('sends a file of %i bytes', async length => {
    const bytes = randomBytes(length);
    await artifacts.put('a', bytes);
    const { sink, bytes: received } = sinkOf();
    await (await senderOf('a'))(sink);
    expect(received().equals(bytes)).toBe(true);
    expect(sink.writableEnded).toBe(true);
  });

  it('sends a file and a range of it to a slow reader', async () => {
    const bytes = randomBytes(MIB);
    await artifacts.put('a', bytes);
    const turn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)));
    const slow = sinkOf(turn);
    await (await senderOf('a', { start: 70_000, end: 900_001 }))(slow.sink);
    expect(slow.bytes().equals(bytes.subarray(70_000, 900_002))).toBe(true);
  });

  it('sends a file to its end that is deleted meanwhile', async () => {
    const bytes = randomBytes(MIB);
    await artifacts.put('a', bytes);
    const send = await senderOf('a');
    await artifacts.remove('a');
    const { sink, bytes: received } = sinkOf();
    await send(sink);
    expect(received().equals(bytes)).toBe(true);
    expect(await artifacts.sender?.('a')).toBeNull();
  });

  it('rejects when the reader closes while a chunk is in flight', async () => {
    await artifacts.put('a', randomBytes(MIB));
    const stuck = new Writable({
      write() {
        setImmediate(() => stuck.destroy());
      },
    });
    await expect((await senderOf('a'))(stuck)).rejects.toThrow();
  });
});
