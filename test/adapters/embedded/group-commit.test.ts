import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createFlush,
  createGroupCommit,
  type GroupCommit,
} from '../../../src/adapters/embedded/group-commit.ts';

describe('group commit', () => {
  let db: DatabaseSync;
  let group: GroupCommit;
  let transactions: number;

  beforeEach(() => {
    db = new DatabaseSync(':memory:');
    db.exec('CREATE TABLE things (name TEXT PRIMARY KEY) STRICT');
    transactions = 0;
    group = createGroupCommit(work => {
      transactions += 1;
      db.exec('BEGIN');
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        db.exec('ROLLBACK');
        throw error;
      }
    });
  });
  afterEach(() => db.close());

  const names = (): unknown[] =>
    db
      .prepare('SELECT name FROM things ORDER BY name')
      .all()
      .map(({ name }) => name);

  function add(name: string): Promise<number> {
    return group.run(() => {
      db.prepare('INSERT INTO things (name) VALUES (?)').run(name);
      return names().length;
    });
  }

  it('runs the work of one turn of the event loop in one transaction, in order', async () => {
    expect(await Promise.all(['a', 'b', 'c'].map(add))).toEqual([1, 2, 3]);
    expect(transactions).toBe(1);
    expect(await add('d')).toBe(4);
    expect(transactions).toBe(2);
  });

  it('commits the rest when one piece of work throws', async () => {
    await add('b');
    const results = await Promise.allSettled(['a', 'b', 'c'].map(add));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(names()).toEqual(['a', 'b', 'c']);
  });

  it('rejects all work when none can be committed', async () => {
    db.exec('DROP TABLE things');
    const results = await Promise.allSettled(['a', 'b'].map(add));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('runs pending work on request', () => {
    void add('a');
    expect(names()).toEqual([]);
    group.runPending();
    expect(names()).toEqual(['a']);
  });
});

describe('flush', () => {
  /** A disk whose syncs end when the test resolves them. */
  function slowDisk() {
    const syncs: PromiseWithResolvers<void>[] = [];
    const flush = createFlush(() => {
      const sync = Promise.withResolvers<void>();
      syncs.push(sync);
      return sync.promise;
    });
    return { syncs, flush };
  }

  it('resolves when the sync ends, not before', async () => {
    const { syncs, flush } = slowDisk();
    let flushed = false;
    const done = flush().then(() => {
      flushed = true;
    });
    await expect.poll(() => syncs.length).toBe(1);
    expect(flushed).toBe(false);
    syncs[0]?.resolve();
    await done;
  });

  it('shares one sync between all calls made during the previous one', async () => {
    const { syncs, flush } = slowDisk();
    const first = flush();
    await expect.poll(() => syncs.length).toBe(1);
    const flushed: string[] = [];
    const later = ['a', 'b', 'c'].map(name => flush().then(() => flushed.push(name)));
    syncs[0]?.resolve();
    await first;
    await expect.poll(() => syncs.length).toBe(2);
    expect(flushed).toEqual([]);
    syncs[1]?.resolve();
    await Promise.all(later);
    expect(flushed).toEqual(['a', 'b', 'c']);
    expect(syncs).toHaveLength(2);
  });

  it('rejects the calls of a failed sync and no later ones', async () => {
    const { syncs, flush } = slowDisk();
    const first = flush();
    await expect.poll(() => syncs.length).toBe(1);
    const second = flush();
    syncs[0]?.reject(new Error('the disk is gone'));
    await expect(first).rejects.toThrow('the disk is gone');
    await expect.poll(() => syncs.length).toBe(2);
    syncs[1]?.resolve();
    await expect(second).resolves.toBeUndefined();
  });
});
