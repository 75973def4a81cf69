/**
 * What is known of a failure, by its kind. `unreachable`: nobody answered, or the connection broke more often than the
 * client tries. `refused`: the gateway, or something before it, answered that it will not. `operation`: the operation
 * itself is at fault. `not-found`: there is no such job, or it is not yours, or it was deleted. `closed`: the client was
 * closed.
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
  /** As a trace shows it. */
  static override readonly name = 'GatewayError';
  override readonly name = 'GatewayError';
  readonly kind: Kind;
  /** The status of HTTP, or the close code of a WebSocket. */
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
 * Thrown when there is no answer to give. What an operation may answer by its schema, such as `ImageRejected`, is never
 * thrown: it is a member of the result, told apart by `__typename`. `kind` tells errors apart: where it is narrowed, the
 * other fields are.
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

/** Nobody answered, or not to the end. `status` is the close code where a WebSocket was closed. */
export function unreachable(message: string, cause?: unknown, status: number | null = null): GatewayError {
  return new GatewayError('unreachable', message, { status, code: null, retryable: true }, cause);
}

/** The gateway will not. Left out: it will not later either. */
export function refused(
  message: string,
  facts: { readonly status?: number; readonly code?: string | null; readonly retryable?: boolean } = {},
  cause?: unknown,
): GatewayError {
  const { status = null, code = null, retryable = false } = facts;
  return new GatewayError('refused', message, { status, code, retryable }, cause);
}

/** There is no such job, or none any more. */
export function notFound(
  message: string,
  { status = null, code = null }: { readonly status?: number | null; readonly code?: string | null } = {},
): GatewayError {
  return new GatewayError('not-found', message, { status, code, retryable: false });
}

/** What everything ends with that is under way when the client closes, and whatever is asked of it later. */
export function closedError(): GatewayError {
  return new GatewayError('closed', 'The client was closed', { status: null, code: null, retryable: false });
}

/** Statuses of HTTP (RFC 9110, 15; RFC 6585, 4) after which the same request may succeed. */
const PASSING = new Set([408, 425, 429, 502, 503, 504]);

/** The error that an HTTP answer other than the wanted one is, by the reason in its body where there is one. */
export function refusalOf({ status, statusText }: Response, body: unknown): GatewayError {
  const { message, code } = reasonOf(body);
  return refused(message ?? `${status} ${statusText}`.trim(), {
    status,
    code,
    retryable: PASSING.has(status),
  });
}

/** The same for what was to be an answer of GraphQL from `endpoint`: a router or a proxy may stand there. */
export function errorOfAnswer(answer: Response, body: unknown, endpoint: URL): GatewayError {
  const { ok, status } = answer;
  const errors = typeof body === 'object' && body !== null && 'errors' in body ? body.errors : null;
  // A 5xx or 429 may carry errors in GraphQL's form: what they say is then the status', not the operation's.
  if (Array.isArray(errors) && status < 500 && status !== 429) return errorOf(errors, status);
  if (ok) return refused(`${endpoint.href} does not answer as a gateway does`, { status });
  const refusal = refusalOf(answer, body);
  if (status !== 404 && status !== 405) return refusal;
  return refused(`There is no gateway at ${endpoint.href}: ${refusal.message}`, { status });
}

interface Reason {
  readonly message: string | null;
  readonly code: string | null;
}

/** The words of a REST error, of a GraphQL answer with errors alone, or of whatever stands before the gateway. */
function reasonOf(body: unknown): Reason {
  if (typeof body !== 'object' || body === null) return { message: null, code: null };
  if ('errors' in body) return reasonOfErrors(body.errors);
  const words = Object.entries(body).find(([name, value]) => REASON_FIELDS.has(name) && isText(value));
  return { message: words === undefined ? null : String(words[1]), code: null };
}

/** `detail` is the gateway's own; the others are those of proxies and of RFC 9457. */
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

/** The error that the `errors` of a GraphQL answer are; `status` is that of HTTP where there was one. */
export function errorOf(errors: unknown, status: number | null = null): GatewayError {
  const { message: words, code } = reasonOfErrors(errors);
  const message = words ?? 'The answer has neither data nor a reason';
  if (code === 'JOB_NOT_FOUND') return notFound(message, { status, code });
  const passing = code !== null && PASSING_REFUSALS.has(code);
  if (passing || (code !== null && REFUSALS.has(code))) {
    return new GatewayError('refused', message, { status, code, retryable: passing });
  }
  return new GatewayError('operation', message, { status, code, retryable: false });
}

/**
 * The words of what was thrown, with those of its causes that say more: `fetch` says "fetch failed", and only the cause
 * that the connection was refused, the name is unknown or the certificate is not trusted.
 */
export function wordsOf(thrown: unknown): string {
  const words: string[] = [];
  for (let at: unknown = thrown; at !== undefined && at !== null; at = causeOf(at)) {
    const text = ownWords(at);
    if (text !== null && !words.includes(text)) words.push(text);
  }
  return words.join(': ') || 'no reason was given';
}

function ownWords(thrown: unknown): string | null {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown);
  if ('message' in thrown && isText(thrown.message)) return thrown.message;
  // Every address of a name was tried, and each attempt has an error of its own.
  if (thrown instanceof AggregateError) return [...new Set(thrown.errors.map(wordsOf))].join(', ');
  return 'code' in thrown && isText(thrown.code) ? thrown.code : null;
}

function causeOf(thrown: unknown): unknown {
  return typeof thrown === 'object' && thrown !== null && 'cause' in thrown ? thrown.cause : undefined;
}
