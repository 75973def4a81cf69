import type { FastifyInstance } from 'fastify';
import { inMegapixelSteps, nextDay } from '../../jobs/limits.ts';
import type { RestOptions } from './context.ts';
import type { MeResponse } from './contract/responses.ts';

/** GET `/me`: how the gateway has identified the caller, what it may do and what of that it uses. */
export function meRoute(app: FastifyInstance, options: RestOptions): void {
  app.get('/me', async (request, reply) => {
    const caller = options.callerOf(request);
    const { policy } = caller;
    const usage = await options.services.jobs.usage(caller);
    reply.header('cache-control', 'private, no-store');
    return {
      id: caller.id,
      operator: caller.operator,
      limits:
        policy === undefined
          ? null
          : {
              policy: policy.name,
              highest_priority: policy.highestPriority,
              waiting_jobs: policy.waiting,
              running_jobs: policy.running,
              megapixel_steps_per_day: policy.megapixelStepsPerDay,
              workflows: policy.workflows === null ? null : [...policy.workflows],
            },
      used:
        usage === null
          ? null
          : {
              waiting_jobs: usage.waiting,
              running_jobs: usage.running,
              megapixel_steps: inMegapixelSteps(usage.work),
              resets_at: new Date(nextDay(Date.now())).toISOString(),
            },
    } satisfies MeResponse;
  });
}
