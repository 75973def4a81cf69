import { randomUUID } from 'node:crypto';
import type { Engine } from '../engine.ts';
import type { HistoryEntry, QueueItem } from '../execution/queue.ts';
import { missingPrompt, validatePrompt } from '../validation/prompt.ts';
import { isObject, type JsonObject } from '../wire/json.ts';
import { empty, json, type Reply, serverError } from '../wire/reply.ts';

/** Serves POST /prompt (`server.py`, post_prompt). `body` is the parsed JSON. */
export function postPrompt(engine: Engine, body: unknown): Reply {
  if (!isObject(body)) return serverError();
  const number = 'number' in body ? pythonFloat(body.number) : nextNumber(engine, Boolean(body.front));
  if (number === null) return serverError();
  if (!('prompt' in body)) return json({ error: missingPrompt(), node_errors: {} }, 400);
  const promptId = 'prompt_id' in body ? promptIdOf(body.prompt_id) : randomUUID();
  const targets = body.partial_execution_targets;
  const verdict = validatePrompt(body.prompt, Array.isArray(targets) ? targets : null, {
    classes: engine.classes,
    files: engine.files,
    checksV3Combos: engine.version === '0.8.0',
  });
  if (verdict.kind === 'broken') return serverError();
  if (verdict.kind === 'rejected')
    return json({ error: verdict.error, node_errors: verdict.nodeErrors }, 400);
  if ('extra_data' in body && !isObject(body.extra_data)) return serverError();
  const extraData = {
    ...(isObject(body.extra_data) ? body.extra_data : {}),
    ...('client_id' in body ? { client_id: body.client_id } : {}),
    ...(engine.version === '0.8.0' ? { create_time: Date.now() } : {}),
  };
  engine.stats.prompts += 1;
  engine.queue.put({ number, promptId, graph: verdict.graph, extraData, outputs: verdict.outputs });
  engine.sendStatus();
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

/** Python's `float`; null where it raises. */
function pythonFloat(value: unknown): number | null {
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && !Number.isNaN(number) ? number : null;
}

/** Python's `str`: an id need not be a string. */
function promptIdOf(value: unknown): string {
  return value === null ? 'None' : String(value);
}

/** The body of GET /queue. */
export function describeQueue({ queue }: Engine): JsonObject {
  const running = queue.running();
  return {
    queue_running: running === null ? [] : [tupleOf(running)],
    queue_pending: queue.pending().map(tupleOf),
  };
}

/** Serves POST /queue: only pending prompts are removed, and unknown ids are ignored. */
export function changeQueue(engine: Engine, body: unknown): Reply {
  if (!isObject(body)) return serverError();
  if (body.clear) {
    engine.queue.clearPending();
    engine.sendStatus();
  }
  return deleteEach(body, id => {
    if (engine.queue.remove(id)) engine.sendStatus();
  });
}

/** Serves GET /history. `max_items` alone selects the newest entries; an offset counts from the oldest (`execution.py`, get_history). */
export function describeHistory(engine: Engine, query: URLSearchParams): Reply {
  const limit = readInteger(query.get('max_items'));
  const offset = readInteger(query.get('offset'));
  if (limit === 'invalid' || offset === 'invalid') return serverError();
  const all = [...visibleHistory(engine)];
  const from = offset ?? -1;
  const start = from < 0 && limit !== null ? Math.max(0, all.length - limit) : Math.max(0, from);
  const selected = all.slice(start, limit === null ? undefined : start + limit);
  return json(Object.fromEntries(selected.map(([id, entry]) => [id, describeEntry(entry)])));
}

/** The body of GET /history/{prompt id}: an empty object when there is no entry. */
export function findHistory(engine: Engine, promptId: string): JsonObject {
  const entry = visibleHistory(engine).get(promptId);
  return entry === undefined ? {} : { [promptId]: describeEntry(entry) };
}

/** Serves POST /history. */
export function changeHistory(engine: Engine, body: unknown): Reply {
  if (!isObject(body)) return serverError();
  if (body.clear) engine.queue.clearHistory();
  return deleteEach(body, id => engine.queue.deleteHistory(id));
}

/** Serves POST /interrupt: without a prompt id, or with a version that ignores it, whatever runs is interrupted. */
export function interrupt(engine: Engine, body: unknown): Reply {
  if (Array.isArray(body)) return serverError();
  const id = isObject(body) ? body.prompt_id : undefined;
  const targeted = Boolean(id) && engine.version !== 'legacy';
  if (!targeted || engine.queue.running()?.promptId === id) engine.worker.interrupt();
  return empty();
}

/** Serves POST /free. */
export function free(engine: Engine, body: unknown): Reply {
  if (!isObject(body)) return serverError();
  engine.stats.frees += 1;
  engine.faults.outOfMemoryUntilFree = false;
  if (body.free_memory) engine.worker.free();
  return empty();
}

function deleteEach(body: JsonObject, remove: (id: string) => void): Reply {
  if (!('delete' in body)) return empty();
  if (!Array.isArray(body.delete)) return serverError();
  for (const id of body.delete) remove(String(id));
  return empty();
}

function tupleOf({ number, promptId, graph, extraData, outputs }: QueueItem): unknown[] {
  return [number, promptId, graph, extraData, outputs];
}

function describeEntry({ item, outputs, status, meta }: HistoryEntry): JsonObject {
  return { prompt: tupleOf(item), outputs, status, meta };
}

function visibleHistory({ faults, queue }: Engine): ReadonlyMap<string, HistoryEntry> {
  if (faults.lateHistory === 0) return queue.history();
  const latest = Date.now() - faults.lateHistory;
  return new Map([...queue.history()].filter(([, entry]) => entry.at <= latest));
}

function readInteger(text: string | null): number | null | 'invalid' {
  if (text === null) return null;
  return /^[+-]?\d+$/.test(text) ? Number(text) : 'invalid';
}
