import type { IncomingMessage } from 'node:http';

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * True when a page of another site asks: both Host and Origin are there, Host is a loopback name, and the two differ
 * in name, or in port where both have one (`server.py`, create_origin_only_middleware). ComfyUI answers 403.
 */
export function isForeign({ headers }: IncomingMessage): boolean {
  const { host, origin } = headers;
  if (
    host === undefined ||
    origin === undefined ||
    !URL.canParse(origin) ||
    !URL.canParse(`http://${host}`)
  ) {
    return false;
  }
  const asked = new URL(`http://${host}`);
  const from = new URL(origin);
  if (!LOOPBACK.test(asked.hostname)) return false;
  const otherPort = asked.port !== '' && from.port !== '' && asked.port !== from.port;
  return asked.hostname !== from.hostname || otherPort;
}
