import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RegistrationFault } from '../../jobs/engines.ts';
import { firstIssue, withField } from '../../jobs/request.ts';
import { engineKeyOf } from '../access/engine-keys.ts';
import { sendError } from '../errors.ts';
import { type Body, parseBody } from './body.ts';
import type { RestOptions } from './context.ts';
import { registrationBody } from './contract/requests.ts';
import type { RegistrationResponse, SignOffResponse } from './contract/responses.ts';

/** Largest body of a registration, in bytes. */
const MAX_BODY_BYTES = 4_096;

/**
 * POST `/engines`: an engine registers, or says that it is still there. DELETE `/engines/{id}`: it signs off. Both take the
 * keys of `ENGINE_KEYS` alone.
 */
export function engineRoutes(app: FastifyInstance, options: RestOptions): void {
  const { fleet } = options.services;
  const config = { access: 'engine' } as const;

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes: Buffer, done) =>
    done(null, parseBody(bytes)),
  );

  /** The gate has let engines through alone. */
  function keyOf(request: FastifyRequest): string {
    const key = engineKeyOf(options.callerOf(request));
    if (key === null) throw new Error('A request reached a route of engines without the key of one');
    return key;
  }

  const route = { config, bodyLimit: MAX_BODY_BYTES };
  app.post<{ Body: Body | undefined }>('/engines', route, async (request, reply) => {
    const read = request.body ?? parseBody(new Uint8Array());
    if (!read.ok) return sendError(reply, 400, read.fault);
    const parsed = registrationBody.safeParse(read.value);
    if (!parsed.success) return sendError(reply, 400, firstIssue(parsed.error).message);
    const { url, ttl_seconds } = parsed.data;
    const ttlMs = ttl_seconds * 1_000;
    const result = await fleet.register({ url, ttlMs, key: keyOf(request) });
    switch (result.kind) {
      case 'invalid':
        return sendError(reply, 400, withField('url', result.fault));
      case 'rejected':
        return sendError(reply, 409, whyRejected(result.id, result.fault));
      case 'registered':
        return reply.code(result.isNew ? 201 : 200).send({
          id: result.id,
          ttl_seconds,
          expires_at: new Date(Date.now() + ttlMs).toISOString(),
        } satisfies RegistrationResponse);
      default:
        return result satisfies never;
    }
  });

  app.delete<{ Params: { id: string } }>('/engines/:id', { config }, async (request, reply) => {
    const { id } = request.params;
    if (!(await fleet.signOff(id, keyOf(request)))) {
      return sendError(reply, 404, 'This key has registered no engine with this id');
    }
    return { id } satisfies SignOffResponse;
  });
}

function whyRejected(id: string, fault: RegistrationFault): string {
  switch (fault) {
    case 'removed':
      return `${id} was removed by an operator, and comes back when one adds it`;
    case 'of-operator':
      return `${id} is in the fleet by COMFYUI_URL or by an operator, and needs no registration`;
    case 'of-other-key':
      return `${id} is registered with another key`;
    default:
      return fault satisfies never;
  }
}
