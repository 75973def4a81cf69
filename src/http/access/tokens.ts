import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';
import type { Caller } from '../../jobs/caller.ts';

export interface TokenOptions {
  /** Where the issuer publishes its keys (RFC 7517, 5). */
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string;
}

export type TokenResult =
  | { ok: true; caller: Caller; expiresAt: number }
  /** `unavailable`: the issuer's keys cannot be had now, so nothing is known of the token. */
  | { ok: false; reason: 'invalid' | 'unavailable' };

/** Says whose a JWT (RFC 7519) is. */
export interface Tokens {
  verify(token: string): Promise<TokenResult>;
}

/** Signatures with a public key only: with a shared secret whoever can verify could sign as well (RFC 8725, 3.1). */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const CLOCK_TOLERANCE_SECONDS = 5;
const JWKS_TIMEOUT_MS = 5_000;
const MAX_TOKEN_LENGTH = 8_192;
const MAX_SUBJECT_LENGTH = 200;

/**
 * Verifies tokens by the issuer's published keys, which are fetched when first needed, kept for ten minutes and asked
 * for again, at most every 30 seconds, when a token names an unknown one. Needs `sub` and `exp`; whose claim `role` is
 * `operator`, or whose list `roles` has it, is one.
 */
export function createTokens(options: TokenOptions): Tokens {
  const keys = createRemoteJWKSet(new URL(options.jwksUrl), {
    timeoutDuration: JWKS_TIMEOUT_MS,
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
  });
  return {
    async verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) return { ok: false, reason: 'invalid' };
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer: options.issuer,
          audience: options.audience,
          algorithms: ALGORITHMS,
          requiredClaims: ['sub', 'exp'],
          clockTolerance: CLOCK_TOLERANCE_SECONDS,
        });
        return readPayload(payload);
      } catch (error) {
        // Everything that is wrong with a token is one of jose's own errors; what is not is the way to the keys.
        const unavailable = !(error instanceof errors.JOSEError) || UNAVAILABLE.has(error.code);
        return { ok: false, reason: unavailable ? 'unavailable' : 'invalid' };
      }
    },
  };
}

/** `ERR_JOSE_GENERIC` is an answer of the issuer that is no key set. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  'ERR_JWKS_TIMEOUT',
  'ERR_JWKS_INVALID',
  'ERR_JOSE_GENERIC',
]);

function readPayload({ sub, exp, role, roles }: JWTPayload): TokenResult {
  if (typeof sub !== 'string' || sub === '' || sub.length > MAX_SUBJECT_LENGTH || exp === undefined) {
    return { ok: false, reason: 'invalid' };
  }
  const operator = role === 'operator' || (Array.isArray(roles) && roles.includes('operator'));
  return { ok: true, caller: { id: `jwt:${sub}`, operator }, expiresAt: exp * 1000 };
}
