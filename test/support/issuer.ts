import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { listen } from './servers.ts';

export const ISSUER = 'https://id.example/';
export const AUDIENCE = 'qwen-edit';

export interface Claims {
  sub?: string;
  iss?: string;
  aud?: string;
  exp?: number | string;
  [name: string]: unknown;
}

/** Who signs tokens, and serves the key that they are checked with. */
export interface Issuer {
  /** The environment of a gateway that believes it. */
  readonly settings: Readonly<Record<string, string>>;
  /** A token, good for five minutes unless `exp` says otherwise; '' leaves a claim out. */
  sign(claims?: Claims, by?: CryptoKey): Promise<string>;
  /** Whether it answers nothing but 500. */
  setAway(away: boolean): void;
  stop(): void;
}

export async function startIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }] };
  let away = false;
  const server = createServer((_request, response) => {
    if (away) response.writeHead(500).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(jwks));
  });
  const port = await listen(server);

  return {
    settings: {
      JWT_JWKS_URL: `http://127.0.0.1:${port}/`,
      JWT_ISSUER: ISSUER,
      JWT_AUDIENCE: AUDIENCE,
    },
    sign({ sub = 'ann', iss = ISSUER, aud = AUDIENCE, exp = '5m', ...rest } = {}, by = privateKey) {
      const token = new SignJWT(rest).setProtectedHeader({ alg: 'ES256', kid: 'one' });
      token.setIssuer(iss).setAudience(aud);
      if (sub !== '') token.setSubject(sub);
      if (exp !== '') token.setExpirationTime(exp);
      return token.sign(by);
    },
    setAway(is) {
      away = is;
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
