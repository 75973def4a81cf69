/**
 * What kept a call from its answer. `unreachable`: nobody answered, or the connection broke more often than the client
 * tries. `refused`: the gateway, or something before it, answered that it will not. `operation`: the operation itself is
 * at fault. `not-found`: there is no such job, or it is not yours, or it was deleted.
 */
export type GatewayErrorKind = 'unreachable' | 'refused' | 'operation' | 'not-found';

/** What is known of a failure besides its words. */
export interface GatewayErrorDetails {
  /** The status of HTTP, or the close code of a WebSocket. */
  readonly status?: number;
  /** `extensions.code` of the GraphQL error. */
  readonly code?: string;
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/**
 * Thrown when there is no answer to give. What an operation may answer by its schema, such as `ImageRejected`, is never
 * thrown: it is a member of the result, told apart by `__typename`.
 */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly kind: GatewayErrorKind;
  readonly status: number | null;
  readonly code: string | null;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(kind: GatewayErrorKind, message: string, details: GatewayErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.status = details.status ?? null;
    this.code = details.code ?? null;
    this.retryable = details.retryable ?? kind === 'unreachable';
  }
}

/** Statuses of HTTP (RFC 9110, 15; RFC 6585, 4) after which the same request may succeed. */
const PASSING = new Set([408, 425, 429, 502, 503, 504]);

/** The error that an HTTP answer other than the wanted one is. Reads its body for the reason. */
export async function refusalOf(answer: Response): Promise<GatewayError> {
  const { status } = answer;
  const text = await answer.text();
  const reason = reasonOf(text) ?? `${status} ${answer.statusText}`.trim();
  const kind = status === 404 ? 'not-found' : 'refused';
  return new GatewayError(kind, reason, { status, retryable: PASSING.has(status) });
}

/** The words of a REST error, or of a GraphQL answer with errors alone; null for anything else. */
function reasonOf(text: string): string | null {
  const body = parse(text);
  if (body === null || typeof body !== 'object') return null;
  if ('detail' in body && typeof body.detail === 'string') return body.detail;
  return 'errors' in body ? errorOf(body.errors).message : null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whatever stands before the gateway may answer a page.
    return null;
  }
}

/** `extensions.code` of errors that say that the gateway will not, whatever the operation. */
const REFUSALS = new Set([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'DOCUMENT_LIMIT',
  'PERSISTED_DOCUMENTS_ONLY',
  'PERSISTED_DOCUMENT_NOT_FOUND',
]);
/** The same, but it may later. */
const PASSING_REFUSALS = new Set([
  'RATE_LIMITED',
  'TOO_MANY_SUBSCRIPTIONS',
  'STORE_UNAVAILABLE',
  'UNAVAILABLE',
]);

function kindOf(code: string | undefined): GatewayErrorKind {
  if (code === undefined) return 'operation';
  if (code === 'JOB_NOT_FOUND') return 'not-found';
  return REFUSALS.has(code) || PASSING_REFUSALS.has(code) ? 'refused' : 'operation';
}

/** The error that the `errors` of a GraphQL answer are; `status` is that of HTTP where there was one. */
export function errorOf(errors: unknown, status?: number): GatewayError {
  const list: readonly unknown[] = Array.isArray(errors) ? errors : [];
  const messages: string[] = [];
  let code: string | undefined;
  for (const entry of list) {
    if (typeof entry !== 'object' || entry === null) continue;
    if ('message' in entry && typeof entry.message === 'string') messages.push(entry.message);
    const extensions = 'extensions' in entry ? entry.extensions : null;
    if (typeof extensions !== 'object' || extensions === null || !('code' in extensions)) continue;
    if (typeof extensions.code === 'string') code ??= extensions.code;
  }
  const message = messages.join('; ') || 'The answer has neither data nor a reason';
  return new GatewayError(kindOf(code), message, {
    ...(code === undefined ? {} : { code }),
    ...(status === undefined ? {} : { status }),
    retryable: code !== undefined && PASSING_REFUSALS.has(code),
  });
}

/** The error that a `fetch` which rejected is; an abort stays what the signal says. */
export function unreachable(endpoint: URL, cause: unknown): GatewayError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new GatewayError('unreachable', `${endpoint.origin} cannot be reached: ${reason}`, { cause });
}
