import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createGroupCommit, type GroupCommit } from '../../../src/adapters/embedded/group-commit.ts';

describe('group commit', () => {
  let db: DatabaseSync;
  let group: GroupCommit;
  let transactions: number;
  /** Syncs of a disk that end when the test resolves them. */
  let syncs: PromiseWithResolvers<void>[];

  beforeEach(() => {
    db = new DatabaseSync(':memory:');
    db.exec('CREATE TABLE things (name TEXT PRIMARY KEY) STRICT');
    transactions = 0;
    syncs = [];
    group = createGroupCommit({
      transact(work) {
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
      },
      sync() {
        const sync = Promise.withResolvers<void>();
        syncs.push(sync);
        return sync.promise;
      },
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

  it('runs work that comes during a sync in one transaction at its end, and flushes it with one sync', async () => {
    const store = async (name: string): Promise<void> => {
      await add(name);
      await group.flush();
    };
    const first = store('a');
    await expect.poll(() => syncs.length).toBe(1);
    const later = [store('b')];
    // Over several turns of the event loop.
    await new Promise(setImmediate);
    later.push(store('c'));
    await new Promise(setImmediate);
    later.push(store('d'));
    expect(names()).toEqual(['a']);
    syncs[0]?.resolve();
    await first;
    await expect.poll(() => syncs.length).toBe(2);
    expect([names(), transactions]).toEqual([['a', 'b', 'c', 'd'], 2]);
    syncs[1]?.resolve();
    await Promise.all(later);
    expect(syncs).toHaveLength(2);
  });

  it('runs work during a failed sync, too, and flushes it with the next', async () => {
    const first = group.flush();
    await expect.poll(() => syncs.length).toBe(1);
    const added = add('a');
    syncs[0]?.reject(new Error('the disk is gone'));
    await expect(first).rejects.toThrow('the disk is gone');
    expect(await added).toBe(1);
    // Its caller did not ask for a flush.
    expect(syncs).toHaveLength(1);
  });

  describe('flush', () => {
    it('resolves when the sync ends, not before', async () => {
      let flushed = false;
      const done = group.flush().then(() => {
        flushed = true;
      });
      await expect.poll(() => syncs.length).toBe(1);
      expect(flushed).toBe(false);
      syncs[0]?.resolve();
      await done;
    });

    it('shares one sync between all calls made during the previous one', async () => {
      const first = group.flush();
      await expect.poll(() => syncs.length).toBe(1);
      const flushed: string[] = [];
      const later = ['a', 'b', 'c'].map(name => group.flush().then(() => flushed.push(name)));
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
      const first = group.flush();
      await expect.poll(() => syncs.length).toBe(1);
      const second = group.flush();
      syncs[0]?.reject(new Error('the disk is gone'));
      await expect(first).rejects.toThrow('the disk is gone');
      await expect.poll(() => syncs.length).toBe(2);
      syncs[1]?.resolve();
      await expect(second).resolves.toBeUndefined();
    });
  });
});
