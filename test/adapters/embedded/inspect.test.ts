import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../../../src/adapters/embedded/database.ts';
import { inspectDatabase } from '../../../src/adapters/embedded/inspect.ts';
import { TABLES_VERSION } from '../../../src/adapters/embedded/tables.ts';

let path: string;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'inspect-'));
  path = join(folder, 'jobs.sqlite');
  return () => rm(folder, { recursive: true });
});

/** The files around the database with their bytes. */
async function filesAround(): Promise<Map<string, string>> {
  const folder = join(path, '..');
  const names = await readdir(folder);
  const contents = await Promise.all(names.map(name => readFile(join(folder, name), 'base64')));
  return new Map(names.map((name, n) => [name, contents[n] ?? '']));
}

async function inspectUnchanged(): Promise<Awaited<ReturnType<typeof inspectDatabase>>> {
  const before = await filesAround();
  try {
    return await inspectDatabase(path);
  } finally {
    expect(await filesAround()).toEqual(before);
  }
}

describe('inspectDatabase changes no file', () => {
  it('where there is none', async () => {
    expect(await inspectUnchanged()).toEqual({ kind: 'absent' });
  });

  it('while a gateway holds it', async () => {
    const db = openDatabase(path, { update: true });
    onTestFinished(() => db.close());
    expect(await inspectUnchanged()).toEqual({ kind: 'held' });
  });

  it('that a gateway closed', async () => {
    openDatabase(path, { update: true }).close();
    expect(await inspectUnchanged()).toEqual({ kind: 'read', version: TABLES_VERSION, jobs: 0 });
  });

  it('of a gateway that was killed', async () => {
    const other = `${path}.other`;
    const db = openDatabase(other, { update: true });
    onTestFinished(() => db.close());
    // What a killed process leaves: the log is not yet in the file.
    for (const suffix of ['', '-wal']) await copyFile(`${other}${suffix}`, `${path}${suffix}`);
    expect(await inspectUnchanged()).toEqual({ kind: 'read', version: TABLES_VERSION, jobs: 0 });
  });

  it('of another version, or damaged', async () => {
    openDatabase(path, { update: true }).close();
    const db = new DatabaseSync(path);
    db.exec('PRAGMA user_version = 999; PRAGMA journal_mode = DELETE');
    db.close();
    await expect(inspectUnchanged()).rejects.toThrow(/^DATA_DIR: .* has version 999/);
    await writeFile(path, 'this is no database, '.repeat(1000));
    await expect(inspectUnchanged()).rejects.toThrow('file is not a database');
  });
});
