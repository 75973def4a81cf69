import type { FastifyInstance } from 'fastify';
import { refuse } from './errors.ts';

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'] as const;

/**
 * Learns each route that is registered on `app` from now on, and answers for paths without one: 405 with `Allow`
 * when the path is there for another method, else 404.
 */
export function answerUnknownPaths(app: FastifyInstance): void {
  const known: { pattern: RegExp; methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    known.push({ pattern: patternOf(url), methods: [method].flat() });
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = '/'] = request.url.split('?');
    const methods = known.filter(({ pattern }) => pattern.test(path)).flatMap(route => route.methods);
    const allowed = [...new Set([...methods, ...elsewhere(app, path)])].sort();
    // The method is right where a file below a path is missing.
    if (allowed.length === 0 || allowed.includes(request.method)) {
      return refuse(reply, 404, `There is nothing at ${path.slice(0, 200)}, see /docs`);
    }
    reply.header('allow', allowed.join(', '));
    return refuse(reply, 405, `${path.slice(0, 200)} takes ${allowed.join(', ')}, got ${request.method}`);
  });
}

/** Methods of a path without parameters that was registered by others, such as `/graphql`. */
function elsewhere(app: FastifyInstance, path: string): string[] {
  if (!/^[\w./-]+$/.test(path)) return [];
  return METHODS.filter(method => app.hasRoute({ url: path, method }));
}

/** Route patterns of Fastify: `:name` is a part of a path, `*` the rest of it. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:[^/]+/g, '[^/]+')
    .replace(/\*/g, '.*')
    .replace(/\/$/, '');
  return new RegExp(`^${source}/?$`);
}
