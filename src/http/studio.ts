import { openPage, type Page } from './pages.ts';

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // An input image may be at any address, and so may be the store that signed URLs of results point to.
  "img-src 'self' data: blob: https: http:",
  "connect-src 'self' ws: wss: blob:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Opens Studio as it was built into `folder`. Null: it was not built. */
export async function openStudio(folder: string): Promise<Page | null> {
  return openPage(folder, {
    assetsPath: '/studio/assets/',
    hashed: true,
    contentSecurityPolicy: CONTENT_SECURITY_POLICY,
  });
}
