import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Artifacts } from '../../../src/jobs/image-stores.ts';
import { collectGarbage } from '../../support/memory.ts';

export interface ArtifactsUnderTest {
  readonly artifacts: Artifacts;
  close(): Promise<void>;
}

const MIB = 1024 * 1024;
const NO_KEYS = [
  '',
  '/',
  'a/',
  '/a',
  'a//b',
  '..',
  '../a',
  'a/../b',
  'a/.',
  '.a',
  'a/.b',
  'a b',
  'ä',
  'a\\b',
  'a\0',
];

/** The promises of the Artifacts port, for every adapter. `open` opens an empty store. */
export function artifactsContract(name: string, open: () => Promise<ArtifactsUnderTest>): void {
  describe(`artifacts: ${name}`, () => {
    let store: ArtifactsUnderTest;
    let artifacts: Artifacts;
    beforeEach(async () => {
      store = await open();
      artifacts = store.artifacts;
    });
    afterEach(() => store.close());

    const read = async (key: string, range?: { start: number; end: number }): Promise<Buffer> => {
      const stream = await artifacts.get(key, range);
      if (stream === null) throw new Error(`There is no ${key}`);
      return buffer(stream);
    };

    it('returns the bytes that were put', async () => {
      const bytes = randomBytes(100_000);
      expect(await artifacts.put('inputs/a.png', bytes)).toBe(100_000);
      expect(await artifacts.size('inputs/a.png')).toBe(100_000);
      expect(bytes.equals(await read('inputs/a.png'))).toBe(true);
    });

    it('stores an empty artifact, from bytes and from a stream', async () => {
      expect(await artifacts.put('a/bytes', new Uint8Array())).toBe(0);
      expect(await artifacts.put('a/stream', Readable.from([]))).toBe(0);
      for (const key of ['a/bytes', 'a/stream']) {
        expect(await artifacts.size(key)).toBe(0);
        expect(await read(key)).toHaveLength(0);
      }
    });

    it.each([1, 5 * MIB - 1, 5 * MIB, 12 * MIB + 7])('stores a stream of %i bytes', async length => {
      const bytes = randomBytes(length);
      expect(await artifacts.put('outputs/1/1.png', inChunks(bytes))).toBe(length);
      expect(await artifacts.size('outputs/1/1.png')).toBe(length);
      expect(bytes.equals(await read('outputs/1/1.png'))).toBe(true);
    });

    it('replaces an artifact', async () => {
      await artifacts.put('a', randomBytes(1000));
      await artifacts.put('a', Readable.from([Buffer.from('second')]));
      expect(await artifacts.size('a')).toBe(6);
      expect((await read('a')).toString()).toBe('second');
    });

    it('gives concurrent readers the old or the new bytes, never a mix', async () => {
      const versions = ['x', 'y'].map(letter => Buffer.alloc(300_000, letter));
      await artifacts.put('a', Buffer.alloc(300_000, 'w'));
      let writing = true;
      const write = async (): Promise<void> => {
        for (let turn = 0; turn < 6; turn += 1) {
          for (const version of versions) await artifacts.put('a', inChunks(version));
        }
        writing = false;
      };
      const look = async (): Promise<void> => {
        while (writing) {
          const seen = await read('a');
          expect(seen).toHaveLength(300_000);
          expect(seen.equals(Buffer.alloc(300_000, seen[0]))).toBe(true);
        }
      };
      await Promise.all([write(), look(), look()]);
    });

    it('shows nothing of an unfinished stream', async () => {
      const source = new PassThrough();
      const put = artifacts.put('outputs/1/1.png', source);
      // More than one part, and all of it taken.
      for (let written = 0; written < 12; written += 1) {
        if (!source.write(Buffer.alloc(MIB))) await once(source, 'drain');
      }
      expect(await artifacts.size('outputs/1/1.png')).toBeNull();
      expect(await artifacts.get('outputs/1/1.png')).toBeNull();
      expect(await artifacts.list('')).toEqual([]);
      source.end();
      expect(await put).toBe(12 * MIB);
      expect(await artifacts.size('outputs/1/1.png')).toBe(12 * MIB);
    });

    it.each([0, 100, 12 * MIB])('keeps nothing of a stream that fails after %i bytes', async length => {
      await expect(artifacts.put('outputs/1/1.png', failing(length))).rejects.toThrow('The source broke');
      expect(await artifacts.get('outputs/1/1.png')).toBeNull();
      expect(await artifacts.list('')).toEqual([]);
    });

    it('keeps an artifact when its replacement fails', async () => {
      await artifacts.put('a', Buffer.from('first'));
      await expect(artifacts.put('a', failing(12 * MIB))).rejects.toThrow('The source broke');
      expect((await read('a')).toString()).toBe('first');
    });

    it('rejects a stream that failed before it was put, and one that closes early', async () => {
      const broken = new PassThrough();
      broken.destroy(new Error('The source broke'));
      await expect(artifacts.put('a', broken)).rejects.toThrow('The source broke');
      const breaking = new PassThrough();
      const put = artifacts.put('a', breaking);
      breaking.destroy(new Error('The source broke at once'));
      await expect(put).rejects.toThrow('The source broke at once');
      const left = new PassThrough();
      left.write('some');
      const cut = artifacts.put('a', left);
      left.destroy();
      await expect(cut).rejects.toThrow();
      expect(await artifacts.size('a')).toBeNull();
    });

    it('destroys a source that it rejects', async () => {
      const source = Readable.from([Buffer.from('bytes')]);
      await expect(artifacts.put('../a', source)).rejects.toThrow(TypeError);
      expect(source.destroyed).toBe(true);
    });

    it('holds a few parts of a stream in memory, not all of it', async () => {
      const held = (): number => {
        collectGarbage();
        return process.memoryUsage().arrayBuffers;
      };
      const before = held();
      // Near the end, where a store that holds all has 48 MiB and more. How much of a few parts is held now and then hangs on
      // how busy the store and the machine are, so the least counts.
      let least = Number.POSITIVE_INFINITY;
      const source = Readable.from(
        (function* () {
          for (let yielded = 0; yielded < 64; yielded += 1) {
            if (yielded >= 48 && yielded % 2 === 0) least = Math.min(least, held() - before);
            yield Buffer.alloc(MIB, yielded);
          }
        })(),
        { objectMode: false },
      );
      expect(await artifacts.put('a', source)).toBe(64 * MIB);
      expect(least).toBeLessThan(32 * MIB);
    });

    it('reads a range with both ends, and nothing after the end', async () => {
      const bytes = randomBytes(1000);
      await artifacts.put('a', bytes);
      for (const [start, end] of [
        [0, 0],
        [0, 999],
        [10, 19],
        [999, 999],
        [990, 5000],
      ] as const) {
        const part = await read('a', { start, end });
        expect(part.equals(bytes.subarray(start, end + 1)), `${start}-${end}`).toBe(true);
      }
      expect(await read('a', { start: 1000, end: 2000 })).toHaveLength(0);
    });

    it('returns null for a missing key, also for a prefix of other keys', async () => {
      await artifacts.put('outputs/1/1.png', Buffer.from('x'));
      for (const key of ['none', 'outputs', 'outputs/1', 'outputs/1/1.png/2', 'outputs/2/1.png']) {
        expect(await artifacts.get(key), key).toBeNull();
        expect(await artifacts.get(key, { start: 0, end: 1 }), key).toBeNull();
        expect(await artifacts.size(key), key).toBeNull();
      }
    });

    it('removes an artifact, and allows removing it again', async () => {
      await artifacts.put('a/b/c', Buffer.from('x'));
      await artifacts.put('a/d', Buffer.from('y'));
      await artifacts.remove('a/b/c');
      await artifacts.remove('a/b/c');
      await artifacts.remove('never/there');
      expect(await artifacts.size('a/b/c')).toBeNull();
      expect(await artifacts.list('')).toMatchObject([{ key: 'a/d', bytes: 1 }]);
      await artifacts.put('a/b/c', Buffer.from('again'));
      expect((await read('a/b/c')).toString()).toBe('again');
    });

    it('puts and removes concurrently', async () => {
      await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          await artifacts.put(`a/b/${index}`, Buffer.from('x'));
          await artifacts.remove(`a/b/${index}`);
          await artifacts.put(`a/b/${index}`, inChunks(Buffer.from('yy')));
          if (index % 2 === 0) await artifacts.remove(`a/b/${index}`);
        }),
      );
      expect(await artifacts.list('a')).toHaveLength(10);
    });

    it('lists the keys below a prefix, by parts and not by characters', async () => {
      const keys = [
        'outputs/1/1.png',
        'outputs/1/2.png',
        'outputs/10/1.png',
        'outputs/1.png',
        'uploads/1/x.part',
      ];
      for (const key of keys) await artifacts.put(key, Buffer.from(key));
      const list = async (prefix: string) => (await artifacts.list(prefix)).map(({ key }) => key);
      expect(await list('')).toEqual(keys.toSorted());
      expect(await list('outputs/1')).toEqual(['outputs/1/1.png', 'outputs/1/2.png']);
      expect(await list('outputs')).toHaveLength(4);
      expect(await list('outputs/1/1.png')).toEqual([]);
      expect(await list('none')).toEqual([]);
      expect(await artifacts.list('uploads')).toMatchObject([{ key: 'uploads/1/x.part', bytes: 16 }]);
    });

    it('lists when each artifact was stored or last replaced', async () => {
      // The store's clock may count whole seconds.
      const from = Date.now() - 1_000;
      await artifacts.put('a/bytes', randomBytes(10));
      await artifacts.put('a/stream', inChunks(randomBytes(100_000)));
      const [before] = await artifacts.list('a');
      await expect
        .poll(async () => {
          await artifacts.put('a/bytes', randomBytes(10));
          return (await artifacts.list('a'))[0]?.modifiedAt;
        })
        .toBeGreaterThan(before?.modifiedAt ?? Number.POSITIVE_INFINITY);
      for (const { modifiedAt } of await artifacts.list('a')) {
        expect(modifiedAt).toBeGreaterThan(from);
        expect(modifiedAt).toBeLessThanOrEqual(Date.now() + 1_000);
      }
    });

    it('lists more keys than fit in one page', async () => {
      const keys = Array.from({ length: 60 }, (_, index) => `outputs/${index}/1.png`);
      // One after another: a store whose lists are eventually consistent keeps up with that.
      for (const key of keys) await artifacts.put(key, Buffer.from(key));
      const listed = await artifacts.list('outputs');
      expect(listed.map(({ key }) => key)).toEqual(keys.toSorted());
      expect(listed.every(({ key, bytes }) => bytes === key.length)).toBe(true);
    });

    it.each([...NO_KEYS, 'a'.repeat(513)])('rejects %j as a key', async key => {
      await expect(artifacts.put(key, Buffer.from('x'))).rejects.toThrow(TypeError);
      await expect(artifacts.get(key)).rejects.toThrow(TypeError);
      await expect(artifacts.size(key)).rejects.toThrow(TypeError);
      await expect(artifacts.remove(key)).rejects.toThrow(TypeError);
      if (key !== '') await expect(artifacts.list(key)).rejects.toThrow(TypeError);
    });

    it('frees its connections when readers close early', async () => {
      const bytes = randomBytes(4 * MIB);
      await artifacts.put('a', bytes);
      for (let reader = 0; reader < 60; reader += 1) {
        const stream = await artifacts.get('a');
        if (stream === null) throw new Error('There is no a');
        await once(stream, 'readable');
        const closed = once(stream, 'close');
        stream.destroy();
        await closed;
      }
      expect(hashOf(await read('a'))).toBe(hashOf(bytes));
    });
  });
}

function inChunks(bytes: Buffer): Readable {
  const chunks = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };
  return Readable.from(chunks(), { objectMode: false });
}

function failing(afterBytes: number): Readable {
  const chunks = function* (): Generator<Buffer> {
    for (let left = afterBytes; left > 0; left -= 65_536) yield Buffer.alloc(Math.min(left, 65_536));
    throw new Error('The source broke');
  };
  return Readable.from(chunks(), { objectMode: false });
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
