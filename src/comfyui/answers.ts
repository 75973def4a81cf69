import { z } from 'zod';
import { type ExecutionFailure, readFailure } from './events.ts';
import { type EngineFile, filesOf } from './files.ts';

/** Responses of a ComfyUI server, read leniently: only what is used must be present (`server.py`). */

/** A prompt in the queue or the history. */
export interface EnginePrompt {
  readonly id: string;
  /** The client id of its submit, which ComfyUI keeps in `extra_data`; null if there was none. */
  readonly clientId: string | null;
}

export interface QueueView {
  readonly running: readonly EnginePrompt[];
  /** In the order in which they will run. */
  readonly pending: readonly EnginePrompt[];
}

export type HistoryOutcome =
  | { kind: 'succeeded' }
  | { kind: 'interrupted' }
  | { kind: 'failed'; failure: ExecutionFailure };

export interface HistoryEntry {
  readonly outcome: HistoryOutcome;
  /** The files of each output node. */
  readonly files: Readonly<Record<string, readonly EngineFile[]>>;
}

/** The number, id, graph and `extra_data` of a prompt, and what follows (`execution.py`, PromptQueue). */
const queueItem = z.tuple([z.number(), z.string()], z.unknown());
const extraData = z.object({ client_id: z.string().nullable().catch(null) });
type QueueItem = z.infer<typeof queueItem>;

function promptOf(item: QueueItem): EnginePrompt {
  const extra = extraData.safeParse(item[3]);
  return { id: item[1], clientId: extra.success ? extra.data.client_id : null };
}

const queueAnswer = z.object({ queue_running: z.array(queueItem), queue_pending: z.array(queueItem) });

/** Reads GET /queue. The pending list is a heap: it is sorted here by (number, prompt id). Throws a ZodError. */
export function readQueue(json: unknown): QueueView {
  const { queue_running, queue_pending } = queueAnswer.parse(json);
  const prompts = (items: QueueItem[]): EnginePrompt[] =>
    items.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1)).map(promptOf);
  return { running: prompts(queue_running), pending: prompts(queue_pending) };
}

const historyEntry = z.object({
  outputs: z.record(z.string(), z.record(z.string(), z.unknown())).catch({}),
  status: z
    .object({
      status_str: z.string(),
      messages: z.array(z.tuple([z.string(), z.unknown()], z.unknown())).catch([]),
    })
    .nullish(),
});

/** Reads GET /history/{id}. Null when the engine has no entry, whatever its queue has. Throws a ZodError. */
export function readHistory(json: unknown, promptId: string): HistoryEntry | null {
  const found = z.record(z.string(), z.unknown()).parse(json)[promptId];
  if (found === undefined) return null;
  const entry = historyEntry.parse(found);
  const files: Record<string, EngineFile[]> = {};
  for (const [node, output] of Object.entries(entry.outputs)) files[node] = filesOf(output);
  return { outcome: readOutcome(entry), files };
}

const historyPrompt = z.object({ prompt: queueItem });

/**
 * Reads GET /history: the id of the newest prompt that was submitted with this client id; null when there is none. Throws
 * a ZodError.
 */
export function readHistoryOf(json: unknown, clientId: string): string | null {
  let found: string | null = null;
  for (const [id, entry] of Object.entries(z.record(z.string(), z.unknown()).parse(json))) {
    const parsed = historyPrompt.safeParse(entry);
    if (parsed.success && promptOf(parsed.data.prompt).clientId === clientId) found = id;
  }
  return found;
}

function readOutcome(entry: z.infer<typeof historyEntry>): HistoryOutcome {
  // The status of an interrupted prompt is `error` too: its last message distinguishes them.
  if (entry.status == null || entry.status.status_str === 'success') return { kind: 'succeeded' };
  const [type, data] = entry.status.messages.at(-1) ?? ['', null];
  if (type === 'execution_interrupted') return { kind: 'interrupted' };
  const failure = readFailure(data);
  const unknown = {
    node: null,
    nodeType: null,
    exceptionType: 'unknown',
    message: 'no reason given',
    traceback: '',
  };
  return { kind: 'failed', failure: failure ?? unknown };
}

const nodeError = z.object({
  class_type: z.string().catch(''),
  errors: z.array(
    z.object({
      type: z.string(),
      message: z.string().catch(''),
      details: z.string().catch(''),
      extra_info: z
        .object({ input_name: z.string().nullish(), received_value: z.unknown() })
        .partial()
        .nullish()
        .catch(null),
    }),
  ),
});

/** Why POST /prompt rejected a graph. */
export interface Rejection {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly nodes: readonly {
    node: string;
    classType: string;
    type: string;
    message: string;
    details: string;
    input: string | null;
    received: unknown;
  }[];
}

const rejection = z.object({
  error: z.union([
    z.object({ type: z.string(), message: z.string().catch(''), details: z.string().catch('') }),
    z.string().transform(message => ({ type: 'error', message, details: '' })),
  ]),
  node_errors: z
    .union([z.record(z.string(), nodeError), z.array(z.unknown()).transform(() => ({}))])
    .catch({}),
});

/** Reads the 400 of POST /prompt; null when the body has another form. */
export function readRejection(json: unknown): Rejection | null {
  const parsed = rejection.safeParse(json);
  if (!parsed.success) return null;
  return { ...parsed.data.error, nodes: readNodeErrors(parsed.data.node_errors) };
}

const accepted = z.object({ prompt_id: z.string(), node_errors: z.record(z.string(), nodeError).catch({}) });

/** Reads the 200 of POST /prompt, in which node errors mean that outputs were dropped. Throws a ZodError. */
export function readAccepted(json: unknown): { promptId: string; nodes: Rejection['nodes'] } {
  const { prompt_id, node_errors } = accepted.parse(json);
  return { promptId: prompt_id, nodes: readNodeErrors(node_errors) };
}

function readNodeErrors(errors: Record<string, z.infer<typeof nodeError>>): Rejection['nodes'] {
  return Object.entries(errors).flatMap(([node, { class_type, errors: list }]) =>
    list.map(({ type, message, details, extra_info }) => ({
      node,
      classType: class_type,
      type,
      message,
      details,
      input: extra_info?.input_name ?? null,
      received: extra_info?.received_value,
    })),
  );
}

export interface SystemStats {
  readonly version: string;
  readonly sandbox: boolean;
  readonly device: string | null;
  readonly vramTotal: number | null;
  readonly vramFree: number | null;
  /** Whether its device is the CPU. */
  readonly cpu: boolean;
  /** The words of its command line; null when it does not tell. */
  readonly argv: readonly string[] | null;
}

const systemStats = z.object({
  system: z.object({
    comfyui_version: z.string().catch('unknown'),
    sandbox: z.boolean().catch(false),
    argv: z.array(z.string()).nullable().catch(null),
  }),
  devices: z
    .array(
      z.object({
        name: z.string().catch('unknown'),
        type: z.string().catch('unknown'),
        vram_total: z.number().nullish().catch(null),
        vram_free: z.number().nullish().catch(null),
      }),
    )
    .catch([]),
});

/** Reads GET /system_stats. Throws a ZodError when the server is not ComfyUI. */
export function readSystemStats(json: unknown): SystemStats {
  const { system, devices } = systemStats.parse(json);
  const device = devices[0];
  return {
    version: system.comfyui_version,
    sandbox: system.sandbox,
    device: device?.name ?? null,
    vramTotal: device?.vram_total ?? null,
    vramFree: device?.vram_free ?? null,
    cpu: device?.type === 'cpu',
    argv: system.argv,
  };
}

const features = z.object({ supports_preview_metadata: z.boolean().catch(false) });

/** Reads GET /features: whether previews can carry the id of their prompt. Throws a ZodError. */
export function readFeatures(json: unknown): boolean {
  return features.parse(json).supports_preview_metadata;
}
