import { type DocumentNode, GraphQLError, parse } from 'graphql';
import {
  documentHash,
  documentId,
  MAX_DOCUMENT,
  normalDocument,
  type PersistedTexts,
} from './persisted-manifest.ts';

/** `on`: documents may be requested by their id in the manifest, which is usually a hash. `only`: all others are rejected. */
export type PersistedMode = 'off' | 'on' | 'only';

/** The parameters that say which document to run. */
export interface DocumentParameters {
  readonly query?: string | null | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined;
}

export interface PersistedDocuments {
  /**
   * Returns the parameters with the text of the document that they name. Throws a GraphQLError for an unknown id and, in
   * the mode `only`, for a document that is not in the manifest.
   */
  resolve<T extends DocumentParameters>(params: T): T;
}

/** Resolves parameters against a manifest. */
export function createPersisted(mode: PersistedMode, documents: PersistedTexts): PersistedDocuments {
  return {
    resolve(params) {
      const id = mode === 'off' ? null : idOf(params);
      if (id !== null) {
        const query = documents.get(id);
        if (query === undefined)
          throw rejection('PERSISTED_DOCUMENT_NOT_FOUND', 'There is no document with this id');
        return { ...params, query };
      }
      if (mode !== 'only') return params;
      const { query } = params;
      if (typeof query !== 'string' || query.length > MAX_DOCUMENT || !isListed(query, documents)) {
        throw rejection('PERSISTED_DOCUMENTS_ONLY', 'Only persisted documents are executed here');
      }
      return params;
    },
  };
}

function isListed(query: string, documents: PersistedTexts): boolean {
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
function idOf(params: DocumentParameters): string | null {
  const own: unknown = 'documentId' in params ? (params.documentId ?? undefined) : undefined;
  const extension: unknown = params.extensions?.persistedQuery;
  const given =
    own ??
    (typeof extension === 'object' && extension !== null && 'sha256Hash' in extension
      ? extension.sha256Hash
      : undefined);
  // Apollo sends both a text and its hash to register a document; here the text is executed, if it may be.
  if (given === undefined || (own === undefined && typeof params.query === 'string')) return null;
  if (typeof given !== 'string')
    throw rejection('PERSISTED_DOCUMENT_NOT_FOUND', 'documentId takes the id of a persisted document');
  return documentId(given);
}

function rejection(code: string, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}
