import { createRemoteJWKSet, customFetch, errors } from 'jose';

/** The keys of an issuer of tokens (RFC 7517, 5), and how they are found by what a token names. */
export type KeySet = ReturnType<typeof createRemoteJWKSet>;

const ANSWER_MS = 5_000;

/**
 * The key set at a URL. It is fetched when first needed, cached for ten minutes, and fetched again, at most every 30 seconds, when
 * a token names an unknown key.
 */
export function openKeySet(url: string): KeySet {
  return createRemoteJWKSet(new URL(url), {
    timeoutDuration: ANSWER_MS,
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
    async [customFetch](...request) {
      const response = await fetch(...request);
      if (response.status === 200) return response;
      await response.body?.cancel();
      // jose's own error does not say the status.
      throw new Error(`the server answered ${response.status}`);
    },
  });
}

/**
 * Why a key set could not be used, by the error of a fetch or of a token's verification; null: the fault is in the token.
 * Names no token.
 */
export function faultOfKeySet(error: unknown): string | null {
  // jose throws its own errors for invalid tokens. Other errors come from fetching the keys.
  if (!(error instanceof errors.JOSEError)) return firstCause(error);
  switch (error.code) {
    case 'ERR_JWKS_TIMEOUT':
      return `no response within ${ANSWER_MS / 1_000} s`;
    case 'ERR_JWKS_INVALID':
    // The response is not JSON.
    case 'ERR_JOSE_GENERIC':
      return 'the response is not a key set';
    default:
      return null;
  }
}

/** `fetch` says only that it failed; its cause says why. */
function firstCause(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.cause instanceof Error) return firstCause(error.cause);
  // A host with several addresses fails with an AggregateError, which has no message.
  return error.message || ('code' in error ? String(error.code) : error.name);
}
