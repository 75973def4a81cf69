import { type ImageFailure, ImageRefused } from './failure.ts';

const REASONS: Readonly<Record<string, string>> = {
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
  UND_ERR_HEADERS_OVERFLOW: 'the answer’s headers are too large',
};

/**
 * The failure that an error of a download means; what is not known by name is not told. Errors and their causes are
 * looked through for an ImageRefused first, because undici may wrap what a connector throws.
 */
export function toFailure(error: unknown): ImageFailure {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ImageRefused) return cause.failure;
  }
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    const reason = REASONS[code];
    if (reason !== undefined) return unreachable(reason);
    if (code.startsWith('HPE_') || cause.name === 'HTTPParserError') {
      return unreachable('the server does not speak HTTP');
    }
    if (/CERT|SSL|TLS|UNABLE_TO_/.test(code)) return unreachable('its TLS certificate is not valid');
  }
  return unreachable('the connection failed');
}

function unreachable(message: string): ImageFailure {
  return { code: 'INPUT_UNREACHABLE', message };
}
