import { randomUUID } from 'node:crypto';
import type { Engine } from '../engine.ts';
import { missingPrompt, validatePrompt } from '../validation/prompt.ts';
import { isObject } from '../wire/json.ts';
import { type Answer, empty, json, serverError } from '../wire/reply.ts';

/** Answers POST /prompt (`server.py`, post_prompt). `body` is the parsed JSON. */
export function submitPrompt(engine: Engine, body: unknown): Answer {
  if (!isObject(body)) return serverError();
  const number = 'number' in body ? readNumber(body.number) : nextNumber(engine, Boolean(body.front));
  if (number === null) return serverError();
  if (!('prompt' in body)) return json({ error: missingPrompt(), node_errors: {} }, 400);
  const promptId = 'prompt_id' in body ? pythonId(body.prompt_id) : randomUUID();
  const targets = body.partial_execution_targets;
  const verdict = validatePrompt(body.prompt, Array.isArray(targets) ? targets : null, {
    classes: engine.classes,
    files: engine.files,
    checksV3Combos: engine.version === '0.8.0',
  });
  if (verdict.kind === 'broken') return serverError();
  if (verdict.kind === 'refused') return json({ error: verdict.error, node_errors: verdict.nodeErrors }, 400);
  if ('extra_data' in body && !isObject(body.extra_data)) return serverError();
  const extraData = {
    ...(isObject(body.extra_data) ? body.extra_data : {}),
    ...('client_id' in body ? { client_id: body.client_id } : {}),
    ...(engine.version === '0.8.0' ? { create_time: Date.now() } : {}),
  };
  engine.stats.prompts += 1;
  engine.queue.put({ number, promptId, graph: verdict.graph, extraData, outputs: verdict.outputs });
  engine.tellStatus();
  engine.worker.wake();
  if (engine.faults.losePromptAnswer > 0) {
    engine.faults.losePromptAnswer -= 1;
    return { kind: 'cut' };
  }
  return json({ prompt_id: promptId, number, node_errors: verdict.nodeErrors });
}

function nextNumber(engine: Engine, front: boolean): number {
  const number = engine.takeNumber();
  return front ? -number : number;
}

/** As Python's `float`; null where that raises. */
function readNumber(value: unknown): number | null {
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && !Number.isNaN(number) ? number : null;
}

/** As Python's `str`: an id need not be a string. */
function pythonId(value: unknown): string {
  return value === null ? 'None' : String(value);
}

/** Answers POST /queue: waiting prompts only, and no word about those that are not there. */
export function changeQueue(engine: Engine, body: unknown): Answer {
  if (!isObject(body)) return serverError();
  if (body.clear) {
    engine.queue.clearPending();
    engine.tellStatus();
  }
  if (!('delete' in body)) return empty();
  if (!Array.isArray(body.delete)) return serverError();
  for (const id of body.delete) if (engine.queue.remove(String(id))) engine.tellStatus();
  return empty();
}

/** Answers POST /history. */
export function changeHistory(engine: Engine, body: unknown): Answer {
  if (!isObject(body)) return serverError();
  if (body.clear) engine.queue.forgetAll();
  if (!('delete' in body)) return empty();
  if (!Array.isArray(body.delete)) return serverError();
  for (const id of body.delete) engine.queue.forget(String(id));
  return empty();
}

/** Answers POST /interrupt: without an id, or with an engine that knows no ids, whatever runs is stopped. */
export function interrupt(engine: Engine, body: unknown): Answer {
  if (Array.isArray(body)) return serverError();
  const id = isObject(body) ? body.prompt_id : undefined;
  const targeted = Boolean(id) && engine.version !== 'legacy';
  if (!targeted || engine.queue.running()?.promptId === id) engine.worker.interrupt();
  return empty();
}

/** Answers POST /free. */
export function free(engine: Engine, body: unknown): Answer {
  if (!isObject(body)) return serverError();
  engine.stats.frees += 1;
  engine.faults.outOfMemoryUntilFree = false;
  if (body.free_memory) engine.worker.free();
  return empty();
}
