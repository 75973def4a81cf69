import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  concatAST,
  type DocumentNode,
  getOperationAST,
  Kind,
  parse,
  print,
  separateOperations,
} from 'graphql';
import { z } from 'zod';
import { show } from '../workflows/messages.ts';

/** The manifest of `schema/operations`. */
export const SHIPPED_DOCUMENTS = fileURLToPath(
  new URL('../../schema/persisted-documents.json', import.meta.url),
);

/** Characters of a document. Longer ones are in no manifest, so a longer text need not even be hashed. */
export const MAX_DOCUMENT = 64 * 1024;

/** Documents by id, and by the hash of their normal form. */
export type PersistedTexts = ReadonlyMap<string, string>;

/** A document of a manifest, under the id by which clients request it. */
interface Entry {
  readonly id: string;
  readonly text: string;
}

const FORMS =
  'takes a JSON object of documents by their hash, as relay-compiler writes it, or a manifest of the format ' +
  'apollo-persisted-query-manifest';

/** The hashes by which relay-compiler can name documents (`persistConfig.algorithm`), by their length in hex digits. */
const ALGORITHMS: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 64: 'sha256' };

const APOLLO_FORMAT = 'apollo-persisted-query-manifest';
/** https://www.apollographql.com/docs/graphos/platform/security/persisted-queries#manifest-format */
const apolloManifest = z.object({
  format: z.literal(APOLLO_FORMAT),
  version: z.literal(1),
  operations: z.array(
    z.object({
      id: z.string().min(1),
      name: z.string(),
      type: z.enum(['query', 'mutation', 'subscription']),
      body: z.string(),
    }),
  ),
});

/** The form of a document that is hashed: as graphql-js prints it, operations first, then fragments by name. */
export function normalDocument(document: DocumentNode): string {
  const place = (kind: Kind) => (kind === Kind.OPERATION_DEFINITION ? 0 : 1);
  const definitions = [...document.definitions].sort((a, b) => {
    const names = [a, b].map(node => ('name' in node ? (node.name?.value ?? '') : ''));
    return place(a.kind) - place(b.kind) || ((names[0] ?? '') < (names[1] ?? '') ? -1 : 1);
  });
  return print({ ...document, definitions });
}

/** SHA-256 of a text, in hex. */
export function documentHash(text: string): string {
  return hashOf('sha256', text);
}

/**
 * The id under which a manifest has a document: hashes in lower case, and those of SHA-256 with or without the prefix that
 * the GraphQL over HTTP draft gives them.
 */
export function documentId(given: string): string {
  const id = given.replace(/^sha256:(?=[0-9a-f]{64}$)/i, '');
  return /^[0-9a-f]{32,64}$/i.test(id) ? id.toLowerCase() : id;
}

/** The manifest of a folder: its documents by hash, each operation with the fragments that it needs, in normal form. */
export async function persistedManifest(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).filter(name => name.endsWith('.graphql')).sort();
  const documents = await Promise.all(
    names.map(async name => parse(await readFile(join(folder, name), 'utf8'))),
  );
  const texts = Object.values(separateOperations(concatAST(documents))).map(normalDocument);
  return Object.fromEntries(texts.map(text => [`sha256:${documentHash(text)}`, text]));
}

/**
 * Reads a manifest: a JSON object of documents by hash, such as `schema/persisted-documents.json` and what relay-compiler
 * writes, or Apollo's format. Throws an Error that names the file and the entry when it is neither, when a document does not
 * match its hash or its name, or when it is not valid GraphQL.
 */
export async function readPersisted(path: string): Promise<PersistedTexts> {
  const fail = (fault: string): never => {
    throw new Error(`PERSISTED_DOCUMENTS_FILE: ${path}: ${fault}`);
  };
  const documents = new Map<string, string>();
  for (const { id, text } of entriesOf(await readFile(path, 'utf8'), fail)) {
    if (text.length > MAX_DOCUMENT)
      fail(`${show(id)} has ${text.length} characters, at most ${MAX_DOCUMENT} are read`);
    if (documents.has(id) && documents.get(id) !== text) fail(`${show(id)} is there with two documents`);
    documents.set(id, text);
    documents.set(documentHash(normalDocument(parseEntry(id, text, fail))), text);
  }
  return documents;
}

function entriesOf(content: string, fail: (fault: string) => never): Entry[] {
  let manifest: unknown;
  try {
    manifest = JSON.parse(content);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return fail(`${FORMS}, got what is not JSON (${error.message})`);
  }
  if (typeof manifest !== 'object' || manifest === null || Array.isArray(manifest)) {
    return fail(`${FORMS}, got ${show(manifest)}`);
  }
  return 'format' in manifest
    ? apolloEntries(manifest, fail)
    : Object.entries(manifest).map(([key, text]) => hashedEntry(key, text, fail));
}

function apolloEntries(manifest: object, fail: (fault: string) => never): Entry[] {
  const { data, error } = apolloManifest.safeParse(manifest);
  if (error !== undefined) {
    const [issue] = error.issues;
    return fail(
      `${issue?.path.join('.') ?? ''} is not as in version 1 of ${APOLLO_FORMAT}: ${issue?.message}`,
    );
  }
  return data.operations.map(({ id, name, type, body }) => {
    const operation = getOperationAST(parseEntry(id, body, fail));
    if (operation?.name?.value !== name || operation.operation !== type) {
      fail(`the body of ${show(id)} is not the ${type} ${name}`);
    }
    return { id: documentId(id), text: body };
  });
}

function hashedEntry(key: string, text: unknown, fail: (fault: string) => never): Entry {
  const id = documentId(key);
  const algorithm = /^[0-9a-f]+$/.test(id) ? ALGORITHMS[id.length] : undefined;
  if (algorithm === undefined) return fail(`${FORMS}; ${show(key)} is not an MD5, SHA-1 or SHA-256 hash`);
  if (typeof text !== 'string') return fail(`${show(key)} takes the text of a document, got ${show(text)}`);
  if (hashOf(algorithm, text) !== id) fail(`${show(key)} is not the hash of its document`);
  return { id, text };
}

function parseEntry(id: string, text: string, fail: (fault: string) => never): DocumentNode {
  try {
    return parse(text, { noLocation: true });
  } catch (error) {
    return fail(
      `the document of ${show(id)} is not valid: ${error instanceof Error ? error.message : error}`,
    );
  }
}

function hashOf(algorithm: string, text: string): string {
  return createHash(algorithm).update(text).digest('hex');
}
