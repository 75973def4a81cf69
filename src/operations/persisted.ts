import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { concatAST, type DocumentNode, GraphQLError, Kind, parse, print, separateOperations } from 'graphql';
import { z } from 'zod';

/** `on`: documents may be requested by their hash. `only`: all others are rejected. */
export type PersistedMode = 'off' | 'on' | 'only';

/** The parameters that say which document to run. */
export interface DocumentParameters {
  readonly query?: string | null | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined;
}

export interface PersistedDocuments {
  /**
   * Returns the parameters with the text of the document that they name. Throws a GraphQLError for an unknown hash and, in
   * the mode `only`, for a document that is not in the manifest.
   */
  resolve<T extends DocumentParameters>(params: T): T;
}

/** The manifest of `schema/operations`. */
export const SHIPPED_DOCUMENTS = fileURLToPath(
  new URL('../../schema/persisted-documents.json', import.meta.url),
);

const HASH = /^(?:sha256:)?([0-9a-f]{64})$/i;
/** Characters. No document of a manifest is longer, so a longer text is not even hashed. */
const MAX_TEXT = 64 * 1024;

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
  return createHash('sha256').update(text).digest('hex');
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

/** Reads a manifest, a JSON object of documents by hash. Rejects when a document does not match its hash. */
export async function readPersisted(path: string): Promise<ReadonlyMap<string, string>> {
  const manifest = z.record(z.string(), z.string()).parse(JSON.parse(await readFile(path, 'utf8')));
  const documents = new Map<string, string>();
  for (const [hash, text] of Object.entries(manifest)) {
    const plain = HASH.exec(hash)?.[1]?.toLowerCase();
    if (plain === undefined || documentHash(text) !== plain)
      throw new Error(`${path}: ${hash} is not the hash of its document`);
    documents.set(plain, text);
    documents.set(documentHash(normalDocument(parse(text))), text);
  }
  return documents;
}

/** Resolves parameters against a manifest. */
export function createPersisted(
  mode: PersistedMode,
  documents: ReadonlyMap<string, string>,
): PersistedDocuments {
  return {
    resolve(params) {
      const hash = mode === 'off' ? null : hashOf(params);
      if (hash !== null) {
        const query = documents.get(hash);
        if (query === undefined)
          throw rejection('PERSISTED_DOCUMENT_NOT_FOUND', 'There is no document with this hash');
        return { ...params, query };
      }
      if (mode !== 'only') return params;
      const { query } = params;
      if (typeof query !== 'string' || query.length > MAX_TEXT || !isListed(query, documents)) {
        throw rejection('PERSISTED_DOCUMENTS_ONLY', 'Only persisted documents are executed here');
      }
      return params;
    },
  };
}

function isListed(query: string, documents: ReadonlyMap<string, string>): boolean {
  if (documents.has(documentHash(query))) return true;
  let document: DocumentNode;
  try {
    document = parse(query, { noLocation: true, maxTokens: 10_000 });
  } catch (error) {
    if (error instanceof GraphQLError) return false;
    throw error;
  }
  return documents.has(documentHash(normalDocument(document)));
}

/** From `documentId` (GraphQL over HTTP draft, appendix A) or Apollo's `extensions.persistedQuery`; null for a text. */
function hashOf(params: DocumentParameters): string | null {
  const documentId: unknown = 'documentId' in params ? (params.documentId ?? undefined) : undefined;
  const extension: unknown = params.extensions?.persistedQuery;
  const given =
    documentId ??
    (typeof extension === 'object' && extension !== null && 'sha256Hash' in extension
      ? extension.sha256Hash
      : undefined);
  // Apollo sends both a text and its hash to register a document; here the text is executed, if it may be.
  if (given === undefined || (documentId === undefined && typeof params.query === 'string')) return null;
  const hash = typeof given === 'string' ? HASH.exec(given)?.[1]?.toLowerCase() : undefined;
  if (hash === undefined)
    throw rejection('PERSISTED_DOCUMENT_NOT_FOUND', 'documentId takes sha256:<64 hex digits>');
  return hash;
}

function rejection(code: string, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}
