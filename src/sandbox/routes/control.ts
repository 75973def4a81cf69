import type { Engine } from '../engine.ts';
import { applyFaults, faultsSchema, noFaults } from '../faults.ts';
import { parseJson } from '../wire/json.ts';
import { type Answer, json } from '../wire/reply.ts';
import type { Call } from './routes.ts';

/** Answers the sandbox's own routes: POST /sandbox/faults and GET /sandbox/stats. No fault touches these. */
export async function answerControl(
  engine: Engine,
  call: Call,
  restart: (milliseconds: number | undefined) => void,
): Promise<Answer> {
  if (call.method === 'GET' && call.path === '/sandbox/stats') return json(describeStats(engine));
  if (call.method !== 'POST' || call.path !== '/sandbox/faults') {
    return { kind: 'text', status: 404, text: '404: Not Found' };
  }
  const body = readJson(await call.body());
  const parsed = faultsSchema.safeParse(body);
  if (!parsed.success) return json({ error: parsed.error.message }, 400);
  const request = parsed.data;
  if (Object.keys(request).length === 0) Object.assign(engine.faults, noFaults(engine.stepMs));
  applyFaults(engine.faults, request, Date.now());
  if (request.deafSockets === true) engine.hub.deafenAll();
  if (request.dropSockets === true) engine.hub.dropAll();
  if (request.restart === true) restart(request.restartMs);
  engine.worker.wake();
  return json({});
}

function readJson(bytes: Buffer): unknown {
  try {
    return parseJson(bytes.toString('utf8'));
  } catch (error) {
    // Refused by the schema, with the rest of what is not a set of faults.
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function describeStats({ stats, queue, hub }: Engine): unknown {
  const pending = [...queue.pending()]
    .sort((a, b) => a.number - b.number || (a.promptId < b.promptId ? -1 : 1))
    .map(item => item.promptId);
  return { ...stats, running: queue.running()?.promptId ?? null, pending, sockets: hub.ids() };
}
