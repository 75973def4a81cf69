/**
 * The fields of a failure by its kind. `unreachable`: there was no response, or the retries of a broken connection failed.
 * `refused`: the gateway, or a proxy in front of it, rejected the request. `operation`: the operation itself is at fault.
 * `not-found`: the job or batch is unknown, deleted, or another caller's. `closed`: the client was closed.
 */
interface Facts {
  readonly unreachable: Known<null, true>;
  readonly refused: Known<string | null, boolean>;
  readonly operation: Known<string | null, false>;
  readonly 'not-found': Known<string | null, false>;
  readonly closed: { readonly status: null; readonly code: null; readonly retryable: false };
}

interface Known<Code, Retryable> {
  readonly status: number | null;
  readonly code: Code;
  readonly retryable: Retryable;
}

export type GatewayErrorKind = keyof Facts;

class Failure<Kind extends GatewayErrorKind> extends Error {
  /** The name that a stack trace shows. */
  static override readonly name = 'GatewayError';
  override readonly name = 'GatewayError';
  readonly kind: Kind;
  /** The HTTP status, or the close code of a WebSocket. */
  readonly status: Facts[Kind]['status'];
  /** `extensions.code` of the GraphQL error. */
  readonly code: Facts[Kind]['code'];
  /** Whether the same call may succeed later. */
  readonly retryable: Facts[Kind]['retryable'];

  constructor(kind: Kind, message: string, facts: Facts[Kind], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.status = facts.status;
    this.code = facts.code;
    this.retryable = facts.retryable;
  }
}

/**
 * Thrown when there is no result. An error that is part of the schema, such as `EditImageRejected`, is never thrown: it is a
 * member of the result union, discriminated by `__typename`. Narrowing `kind` narrows the other fields.
 */
export type GatewayError = { [Kind in GatewayErrorKind]: Failure<Kind> }[GatewayErrorKind];

/** The class, for `instanceof`. */
export const GatewayError: {
  new <Kind extends GatewayErrorKind>(
    kind: Kind,
    message: string,
    facts: Facts[Kind],
    cause?: unknown,
  ): Failure<Kind>;
  readonly prototype: GatewayError;
} = Failure;

/** No response, or not a whole one. `status` is the close code of a WebSocket. */
export function unreachable(message: string, cause?: unknown, status: number | null = null): GatewayError {
  return new GatewayError('unreachable', message, { status, code: null, retryable: true }, cause);
}

/** The request was rejected; unless `retryable`, it always will be. */
export function refused(
  message: string,
  facts: { readonly status?: number; readonly code?: string | null; readonly retryable?: boolean } = {},
  cause?: unknown,
): GatewayError {
  const { status = null, code = null, retryable = false } = facts;
  return new GatewayError('refused', message, { status, code, retryable }, cause);
}

/** The job or batch is unknown or was deleted. */
export function notFound(
  message: string,
  { status = null, code = null }: { readonly status?: number | null; readonly code?: string | null } = {},
): GatewayError {
  return new GatewayError('not-found', message, { status, code, retryable: false });
}

/** What calls in flight and later calls reject with once the client is closed. */
export function closedError(): GatewayError {
  return new GatewayError('closed', 'The client was closed', { status: null, code: null, retryable: false });
}

/** HTTP statuses (RFC 9110, 15; RFC 6585, 4) after which the same request may succeed later. */
const RETRYABLE_STATUSES = new Set([408, 425, 429, 502, 503, 504]);

/** The error for an HTTP response, with the reason from its body if there is one. */
export function errorOfHttp({ status, statusText }: Response, body: unknown): GatewayError {
  const { message, code } = reasonOf(body);
  return refused(message ?? `${status} ${statusText}`.trim(), {
    status,
    code,
    retryable: RETRYABLE_STATUSES.has(status),
  });
}

/** The error for a response without data to a GraphQL request; a router or a proxy may have sent it. */
export function errorOfResponse(response: Response, body: unknown, endpoint: URL): GatewayError {
  const { ok, status } = response;
  const errors = typeof body === 'object' && body !== null && 'errors' in body ? body.errors : null;
  // The GraphQL errors of a 5xx or 429 explain the status; the operation is not at fault.
  if (Array.isArray(errors) && status < 500 && status !== 429) return errorOf(errors, status);
  if (ok) return refused(`${endpoint.href} does not respond like a gateway`, { status });
  const error = errorOfHttp(response, body);
  if (status !== 404 && status !== 405) return error;
  return refused(`There is no gateway at ${endpoint.href}: ${error.message}`, { status });
}

interface Reason {
  readonly message: string | null;
  readonly code: string | null;
}

/** The reason in the body of a REST error, of a GraphQL response with errors only, or of a proxy's error. */
function reasonOf(body: unknown): Reason {
  if (typeof body !== 'object' || body === null) return { message: null, code: null };
  if ('errors' in body) return reasonOfErrors(body.errors);
  const found = Object.entries(body).find(([name, value]) => REASON_FIELDS.has(name) && isText(value));
  return { message: found === undefined ? null : String(found[1]), code: null };
}

/** `detail` is used by the gateway, the others by proxies and RFC 9457. */
const REASON_FIELDS = new Set(['detail', 'message', 'error', 'title']);

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function reasonOfErrors(errors: unknown): Reason {
  const list: readonly unknown[] = Array.isArray(errors) ? errors : [];
  const messages: string[] = [];
  let code: string | null = null;
  for (const entry of list) {
    if (typeof entry !== 'object' || entry === null) continue;
    if ('message' in entry && isText(entry.message)) messages.push(entry.message);
    const extensions = 'extensions' in entry ? entry.extensions : null;
    if (typeof extensions !== 'object' || extensions === null || !('code' in extensions)) continue;
    if (typeof extensions.code === 'string') code ??= extensions.code;
  }
  return { message: messages.length === 0 ? null : messages.join('; '), code };
}

/** `extensions.code` of errors that reject the caller or the document, whatever the operation does. */
const REFUSED_CODES = new Set([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'DOCUMENT_LIMIT',
  'PERSISTED_DOCUMENTS_ONLY',
  'PERSISTED_DOCUMENT_NOT_FOUND',
]);
/** The same, where a later request may succeed. */
const RETRYABLE_CODES = new Set([
  'RATE_LIMITED',
  'TOO_MANY_SUBSCRIPTIONS',
  'STORE_UNAVAILABLE',
  'UNAVAILABLE',
]);

const NOT_FOUND_CODES = new Set(['JOB_NOT_FOUND', 'BATCH_NOT_FOUND']);

/** The error for the `errors` of a GraphQL response; `status` is its HTTP status, if any. */
export function errorOf(errors: unknown, status: number | null = null): GatewayError {
  const { message: reason, code } = reasonOfErrors(errors);
  const message = reason ?? 'The response has neither data nor errors';
  if (code !== null && NOT_FOUND_CODES.has(code)) return notFound(message, { status, code });
  const retryable = code !== null && RETRYABLE_CODES.has(code);
  if (retryable || (code !== null && REFUSED_CODES.has(code))) {
    return new GatewayError('refused', message, { status, code, retryable });
  }
  return new GatewayError('operation', message, { status, code, retryable: false });
}

/**
 * The message of a thrown value and those of its causes. That of `fetch` is only "fetch failed"; its cause says that the
 * connection was refused, the name is unknown or the certificate is not trusted.
 */
export function messageOf(thrown: unknown): string {
  const messages: string[] = [];
  for (let at: unknown = thrown; at !== undefined && at !== null; at = causeOf(at)) {
    const text = ownMessage(at);
    if (text !== null && !messages.includes(text)) messages.push(text);
  }
  return messages.join(': ') || 'unknown reason';
}

function ownMessage(thrown: unknown): string | null {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown);
  if ('message' in thrown && isText(thrown.message)) return thrown.message;
  // Node tries every address of a name, and each attempt has its own error.
  if (thrown instanceof AggregateError) return [...new Set(thrown.errors.map(messageOf))].join(', ');
  return 'code' in thrown && isText(thrown.code) ? thrown.code : null;
}

function causeOf(thrown: unknown): unknown {
  return typeof thrown === 'object' && thrown !== null && 'cause' in thrown ? thrown.cause : undefined;
}
