/**
 * Why nothing could be requested from a URL. `invalid`: it is not a URL that can be requested. `blocked`: the guard
 * does not allow it. `unreachable`: the server could not be reached or failed; a later request may succeed.
 */
export interface OutboundFailure {
  readonly kind: 'invalid' | 'blocked' | 'unreachable';
  readonly message: string;
  /** FETCH_ALLOW can allow what is blocked. */
  readonly allowable: boolean;
}

/** Carries an OutboundFailure through code that can only throw, such as a connector of undici. */
export class OutboundError extends Error {
  override name = 'OutboundError';
  readonly failure: OutboundFailure;

  constructor(kind: OutboundFailure['kind'], message: string, { allowable = false } = {}) {
    super(message);
    this.failure = { kind, message, allowable };
  }
}

/** The error of a connection, or of a look-up, that did not succeed in time. */
export function connectionTimeout(): OutboundError {
  return new OutboundError('unreachable', 'Connection timeout');
}

const MESSAGES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was reset',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  EADDRNOTAVAIL: 'network unreachable',
  ENOTFOUND: 'host not found',
  EAI_AGAIN: 'host not found',
  ETIMEDOUT: 'Connection timeout',
  UND_ERR_CONNECT_TIMEOUT: 'Connection timeout',
  UND_ERR_HEADERS_TIMEOUT: 'Connection timeout',
  UND_ERR_BODY_TIMEOUT: 'Connection timeout',
  UND_ERR_SOCKET: 'the connection was closed early',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the connection was closed early',
  UND_ERR_HEADERS_OVERFLOW: 'the response’s headers are too large',
};

/**
 * The failure behind an error of a request. Looks for an OutboundError among the error and its causes first, because
 * undici may wrap what a connector throws. Errors without a known code get a general message, so no detail leaks.
 */
export function toOutboundFailure(error: unknown): OutboundFailure {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof OutboundError) return cause.failure;
  }
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    const message = MESSAGES[code];
    if (message !== undefined) return unreachable(message);
    if (code.startsWith('HPE_') || cause.name === 'HTTPParserError') {
      return unreachable('the server does not speak HTTP');
    }
    if (/CERT|SSL|TLS|UNABLE_TO_/.test(code)) return unreachable('its TLS certificate is not valid');
  }
  return unreachable('the connection failed');
}

function unreachable(message: string): OutboundFailure {
  return { kind: 'unreachable', message, allowable: false };
}
