import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createTogether, type Together } from '../../src/adapters/embedded/together.ts';

let db: DatabaseSync;
let together: Together;
let transactions: number;

beforeEach(() => {
  db = new DatabaseSync(':memory:');
  db.exec('CREATE TABLE things (name TEXT PRIMARY KEY) STRICT');
  transactions = 0;
  together = createTogether(work => {
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
  return together.run(() => {
    db.prepare('INSERT INTO things (name) VALUES (?)').run(name);
    return names().length;
  });
}

it('what is asked for in one turn is one transaction, in the order asked', async () => {
  expect(await Promise.all(['a', 'b', 'c'].map(add))).toEqual([1, 2, 3]);
  expect(transactions).toBe(1);
  expect(await add('d')).toBe(4);
  expect(transactions).toBe(2);
});

it('one that fails takes nothing of the others along', async () => {
  await add('b');
  const results = await Promise.allSettled(['a', 'b', 'c'].map(add));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(names()).toEqual(['a', 'b', 'c']);
});

it('all are told when none can be committed', async () => {
  db.exec('DROP TABLE things');
  const results = await Promise.allSettled(['a', 'b'].map(add));
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});

it('what waits can be done at once', () => {
  void add('a');
  expect(names()).toEqual([]);
  together.runWaiting();
  expect(names()).toEqual(['a']);
});
