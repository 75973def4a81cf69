import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type DocumentNode, GraphQLError, Kind, parse, print } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { z } from 'zod';

/** `on`: documents may be named by their hash. `only`: no others are run. */
export type PersistedMode = 'off' | 'on' | 'only';

/** The parts of an operation's parameters that matter here, as either way brings them. */
export interface OperationParams {
  readonly query?: string | null | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined;
}

/** The documents that may be named. */
export interface PersistedDocuments {
  /**
   * The parameters with the document written out when they name one. Throws a GraphQLError for a hash that is not
   * known and, in the mode `only`, for a document that is not on the list.
   */
  resolve<T extends OperationParams>(params: T): T;
}

/** The documents of `schema/operations`, by their hash. */
export const SHIPPED_DOCUMENTS = fileURLToPath(
  new URL('../../../schema/persisted-documents.json', import.meta.url),
);

const HASH = /^(?:sha256:)?([0-9a-f]{64})$/i;
/** Beyond this a text is none of ours, whatever it says. */
const MAX_TEXT = 64 * 1024;

/** The form of a document that is hashed: as graphql-js prints it, operations first, fragments by name. */
export function normalDocument(document: DocumentNode): string {
  const place = (kind: Kind) => (kind === Kind.OPERATION_DEFINITION ? 0 : 1);
  const definitions = [...document.definitions].sort((a, b) => {
    const names = [a, b].map(node => ('name' in node ? (node.name?.value ?? '') : ''));
    return place(a.kind) - place(b.kind) || ((names[0] ?? '') < (names[1] ?? '') ? -1 : 1);
  });
  return print({ ...document, definitions });
}

/** SHA-256 of a text, in hex: how a document is named. */
export function documentHash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Reads a manifest, an object of documents by their hash. Throws when one is not what its hash says. */
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

/** Resolves against a list. */
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
          throw refusal('PERSISTED_DOCUMENT_NOT_FOUND', 'There is no document of this hash');
        return { ...params, query };
      }
      if (mode !== 'only') return params;
      const { query } = params;
      const known =
        typeof query === 'string' && query.length <= MAX_TEXT ? isListed(query, documents) : false;
      if (!known) throw refusal('PERSISTED_DOCUMENTS_ONLY', 'Only documents of the list are run here');
      return params;
    },
  };
}

/** The same before Yoga reads an HTTP request's document. */
export function usePersisted(persisted: PersistedDocuments): Plugin {
  return {
    onParams({ params, request, setParams }) {
      // Of a GET, Yoga reads the parameters that it knows.
      const documentId =
        request.method === 'GET' ? new URL(request.url).searchParams.get('documentId') : null;
      setParams(persisted.resolve(documentId === null ? params : { ...params, documentId }));
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

/** `documentId` of the GraphQL over HTTP draft (appendix A), or Apollo's `extensions.persistedQuery`; null: a text. */
function hashOf(params: OperationParams): string | null {
  const asked: unknown = 'documentId' in params ? params.documentId : undefined;
  const extension: unknown = params.extensions?.persistedQuery;
  const given =
    asked ??
    (typeof extension === 'object' && extension !== null && 'sha256Hash' in extension
      ? extension.sha256Hash
      : undefined);
  // With a text too it is the text that runs, if it may.
  if (given === undefined || (asked === undefined && typeof params.query === 'string')) return null;
  const hash = typeof given === 'string' ? HASH.exec(given)?.[1]?.toLowerCase() : undefined;
  if (hash === undefined)
    throw refusal('PERSISTED_DOCUMENT_NOT_FOUND', 'documentId takes sha256:<64 hex digits>');
  return hash;
}

function refusal(code: string, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}
