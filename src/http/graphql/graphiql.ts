import { createHash } from 'node:crypto';
import type { Judged } from '../access/gate.ts';

export const GRAPHQL_PATH = '/graphql';

const WELCOME = `# Submit an edit, copy the id, then watch it with the subscription below.
mutation Edit {
  editImage(
    input: {
      images: [{ url: "https://example.com/photo.jpg" }]
      prompt: "Change the background to a forest"
    }
  ) {
    __typename
    ... on EditJob { id status }
    ... on EditError { code message }
  }
}

subscription Watch($jobId: ID! = "the id") {
  jobProgress(jobId: $jobId, previews: false) {
    status progress stage step totalSteps etaSeconds queuePosition
    images { url width height }
  }
}
`;

/** GraphiQL as a single HTML document, with a policy that lets the browser run nothing else. */
export interface Page {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

/** Returns the page, rendered on first use: that has to load all of GraphiQL. */
export type GetPage = () => Promise<Page>;

/** Renders the page once. */
export function createPage(): GetPage {
  let page: Promise<Page> | null = null;
  return () => {
    page ??= renderPage();
    return page;
  };
}

async function renderPage(): Promise<Page> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const html = renderGraphiQL({
    title: 'Qwen Edit',
    endpoint: GRAPHQL_PATH,
    subscriptionsProtocol: 'WS',
    defaultQuery: WELCOME,
  });
  const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(
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
