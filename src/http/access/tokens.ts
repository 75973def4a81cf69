import { type JWTPayload, jwtVerify } from 'jose';
import { createSparingly } from '../../concurrency/sparingly.ts';
import type { Caller } from '../../jobs/job.ts';
import type { Clock } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import { faultOfKeySet, openKeySet } from './key-set.ts';
import { type Policies, policyOf } from './policies.ts';

export interface TokenOptions {
  /** Where the issuer publishes its keys (RFC 7517, 5). */
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string;
  /** The claim that names a caller's policy. */
  readonly policyClaim: string;
  readonly policies: Policies;
  readonly now: Clock;
  readonly log: Log;
}

export type TokenResult =
  | { ok: true; caller: Caller; expiresAt: number }
  /** `unavailable`: the issuer's keys cannot be fetched, so the token cannot be checked. */
  | { ok: false; reason: 'invalid' | 'unavailable' };

/** Identifies callers by JWTs (RFC 7519). */
export interface Tokens {
  verify(token: string): Promise<TokenResult>;
}

/** Only public-key signatures: a party that verifies with a shared secret can sign too (RFC 8725, 3.1). */
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
const MAX_TOKEN_LENGTH = 8_192;
const MAX_SUBJECT_LENGTH = 200;
/** Between two warnings that the keys cannot be fetched. */
const WARN_EVERY_MS = 60_000;

/**
 * Verifies tokens with the issuer's published keys, see `openKeySet`. A token needs the claims `sub` and `exp`; `operator`
 * in the claim `role`, or in the list `roles`, makes the caller an operator. Where there are policies, a token that names an
 * unknown one is invalid.
 */
export function createTokens(options: TokenOptions): Tokens {
  const { jwksUrl, now, log } = options;
  const keys = openKeySet(jwksUrl);
  const mayWarn = createSparingly(WARN_EVERY_MS, now);
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
        return readPayload(payload, options);
      } catch (error) {
        const reason = faultOfKeySet(error);
        if (reason === null) return { ok: false, reason: 'invalid' };
        if (mayWarn(jwksUrl)) {
          const message = 'JWT_JWKS_URL has no usable keys: callers with tokens get 503';
          log.warn({ host: new URL(jwksUrl).host, reason }, message);
        }
        return { ok: false, reason: 'unavailable' };
      }
    },
  };
}

function readPayload(payload: JWTPayload, { policyClaim, policies }: TokenOptions): TokenResult {
  const { sub, exp, role, roles } = payload;
  if (typeof sub !== 'string' || sub === '' || sub.length > MAX_SUBJECT_LENGTH || exp === undefined) {
    return { ok: false, reason: 'invalid' };
  }
  const named = policies.size === 0 ? undefined : payload[policyClaim];
  // A policy that is not known here may be a strict one.
  if (named !== undefined && (typeof named !== 'string' || !policies.has(named))) {
    return { ok: false, reason: 'invalid' };
  }
  const operator = role === 'operator' || (Array.isArray(roles) && roles.includes('operator'));
  const caller = { id: `jwt:${sub}`, operator, ...policyOf(policies, named ?? null, operator) };
  return { ok: true, caller, expiresAt: exp * 1000 };
}
