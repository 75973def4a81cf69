import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { concatAST, parse, separateOperations } from 'graphql';
import { documentHash, normalDocument } from './persisted.ts';

/** The documents of a folder by hash: each operation with the fragments that it needs, in normal form. */
export async function persistedManifest(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).filter(name => name.endsWith('.graphql')).sort();
  const documents = await Promise.all(
    names.map(async name => parse(await readFile(join(folder, name), 'utf8'))),
  );
  const texts = Object.values(separateOperations(concatAST(documents))).map(normalDocument);
  return Object.fromEntries(texts.map(text => [`sha256:${documentHash(text)}`, text]));
}
