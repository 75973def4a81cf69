import type { IncomingHttpHeaders } from 'node:http';
import type { Credentials } from './identity.ts';

/** The credentials of a request's headers: `Authorization` or `X-API-Key`. */
export function headerCredentials(headers: IncomingHttpHeaders): Credentials {
  const apiKey = headers['x-api-key'];
  return {
    authorization: headers.authorization,
    // Sent twice, Node gives both joined by a comma, which is nobody's key.
    apiKey: typeof apiKey === 'string' ? apiKey : undefined,
  };
}

/**
 * The credentials of a `connection_init` payload, by any of the names under which clients send them, or null when it
 * holds none.
 */
export function payloadCredentials(
  payload: Readonly<Record<string, unknown>> | undefined,
): Credentials | null {
  let authorization: string | undefined;
  let apiKey: string | undefined;
  for (const [name, value] of Object.entries(payload ?? {})) {
    if (typeof value !== 'string') continue;
    const plain = name.toLowerCase().replaceAll(/[-_]/g, '');
    if (plain === 'authorization') authorization = value;
    if (plain === 'apikey' || plain === 'xapikey') apiKey = value;
  }
  return authorization === undefined && apiKey === undefined ? null : { authorization, apiKey };
}
