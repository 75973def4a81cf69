/** The parameters of an operation (https://graphql.github.io/graphql-over-http/draft/#sec-Request-Parameters). */
export interface Parameters {
  readonly query?: string | null | undefined;
  readonly operationName?: string | null | undefined;
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | null | undefined;
  /** Instead of a query: the document of this hash (appendix A). */
  readonly documentId?: string | null | undefined;
}

/** The parameters that a body of JSON holds; null when it is anything else or holds anything else. */
export function readParameters(body: string): Parameters | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  return isParameters(parsed) ? parsed : null;
}

function isParameters(value: unknown): value is Parameters {
  if (!isRecord(value)) return false;
  for (const name in value) {
    if (!isFitting(name, value[name])) return false;
  }
  return true;
}

function isFitting(name: string, value: unknown): boolean {
  switch (name) {
    case 'query':
    case 'operationName':
    case 'documentId':
      return value === null || typeof value === 'string';
    case 'variables':
    case 'extensions':
      return value === null || isRecord(value);
    default:
      return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
