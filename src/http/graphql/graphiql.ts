import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Judged } from '../access/gate.ts';
import { readBuilt } from '../pages.ts';

export const GRAPHQL_PATH = '/graphql';

/** GraphiQL as a single HTML document, with a policy that lets the browser run nothing else. */
export interface Graphiql {
  readonly html: Buffer;
  readonly contentSecurityPolicy: string;
}

/** Returns the page, read on first use, because it is large. Null: it is not built. Rejects when it cannot be read. */
export type GetGraphiql = () => Promise<Graphiql | null>;

/** Reads the page that was built into `folder`, and keeps it once it was read. */
export function createGraphiql(folder: string): GetGraphiql {
  let page: Graphiql | null = null;
  return async () => {
    page ??= await readGraphiql(folder);
    return page;
  };
}

async function readGraphiql(folder: string): Promise<Graphiql | null> {
  const html = await readBuilt(join(folder, 'index.html'));
  if (html === null) return null;
  const scripts = [...html.toString().matchAll(/<script>([\s\S]*?)<\/script>/g)].map(
    ([, script = '']) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`,
  );
  return {
    html,
    contentSecurityPolicy: [
      "default-src 'none'",
      `script-src ${scripts.join(' ')} blob:`,
      // The editor creates workers from blobs and sets inline styles.
      'worker-src blob:',
      "style-src 'unsafe-inline'",
      "img-src 'self' data: blob:",
      'font-src data:',
      "connect-src 'self' ws: wss:",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  };
}

/** Whether a browser requests the page, and not a client a result. */
export function wantsPage(request: Pick<Judged, 'method' | 'url' | 'headers'>): boolean {
  const path = request.url.split('?', 1)[0];
  if (request.method !== 'GET' || (path !== GRAPHQL_PATH && path !== `${GRAPHQL_PATH}/`)) return false;
  return request.headers.accept?.includes('text/html') === true;
}
