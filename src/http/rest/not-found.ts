import type { FastifyInstance } from 'fastify';
import { jobNotFound, refuse } from './errors.ts';

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
    const allowed = [...new Set(methods)].sort();
    if (allowed.length === 0)
      return refuse(reply, 404, `There is nothing at ${path.slice(0, 200)}, see /docs`);
    // The method is right, so it is the id that led nowhere.
    if (allowed.includes(request.method)) return jobNotFound(reply);
    reply.header('allow', allowed.join(', '));
    return refuse(reply, 405, `${path.slice(0, 200)} takes ${allowed.join(', ')}, got ${request.method}`);
  });
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
