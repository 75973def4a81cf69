import type { Config } from '../config.ts';
import { type Check, reporter } from './check.ts';

/** Checks that JWT_JWKS_URL has keys to verify tokens with. Its path may be a secret. */
export async function checkTokens({ JWT_JWKS_URL: url }: Config): Promise<Check[]> {
  if (url === undefined) return [];
  // Loaded only when it is used, as in the gateway.
  const { faultOfKeySet, openKeySet } = await import('../http/access/key-set.ts');
  const report = reporter('tokens', new URL(url).host);
  const keys = openKeySet(url);
  try {
    await keys.reload();
  } catch (error) {
    const fix = 'start the issuer of the tokens, or correct JWT_JWKS_URL';
    return [report.wrong(`no token can be verified: ${faultOfKeySet(error) ?? String(error)}`, fix)];
  }
  const count = keys.jwks()?.keys.length ?? 0;
  if (count > 0) return [report.ok(`has ${count === 1 ? '1 key' : `${count} keys`}`)];
  return [report.wrong('has no keys, so every token is invalid', 'correct JWT_JWKS_URL')];
}
