import { z } from 'zod';
import { type EngineFile, filesOf } from './files.ts';

export interface NodeProgress {
  readonly node: string;
  readonly value: number;
  readonly max: number;
  readonly finished: boolean;
}

export interface ExecutionFailure {
  readonly node: string | null;
  readonly nodeType: string | null;
  readonly exceptionType: string;
  readonly message: string;
  readonly traceback: string;
}

/** Events of a ComfyUI socket (`server.py`, `execution.py`, `comfy_execution/progress.py`). */
export type EngineEvent =
  | { type: 'status'; queueRemaining: number }
  | { type: 'features'; previewMetadata: boolean }
  | { type: 'started'; promptId: string }
  | { type: 'cached'; promptId: string; nodes: readonly string[] }
  /** `promptId` is null when the event is repeated for a socket that has just connected. */
  | { type: 'executing'; promptId: string | null; node: string }
  /** The worker has finished with the prompt: its history entry exists now. */
  | { type: 'idle'; promptId: string | null }
  | { type: 'stepped'; promptId: string | null; node: string; value: number; max: number }
  | { type: 'progress'; promptId: string; nodes: readonly NodeProgress[] }
  /** A node has finished and wrote these files. */
  | { type: 'executed'; promptId: string; node: string; files: readonly EngineFile[] }
  | { type: 'succeeded'; promptId: string }
  | { type: 'failed'; promptId: string; failure: ExecutionFailure }
  | { type: 'interrupted'; promptId: string }
  | {
      type: 'preview';
      promptId: string | null;
      mimeType: 'image/jpeg' | 'image/png';
      bytes: Uint8Array;
    };

const id = z.string();
const promptOnly = z.object({ prompt_id: id });

const schemas = {
  status: z.object({ status: z.object({ exec_info: z.object({ queue_remaining: z.number() }) }) }),
  features: z.object({ supports_preview_metadata: z.boolean().optional() }),
  cached: z.object({ prompt_id: id, nodes: z.array(id) }),
  executing: z.object({
    node: id.nullable(),
    display_node: id.nullish(),
    prompt_id: id.nullish(),
  }),
  executed: z.object({ prompt_id: id, node: id, output: z.record(z.string(), z.unknown()) }),
  stepped: z.object({ value: z.number(), max: z.number(), prompt_id: id.nullish(), node: id.nullish() }),
  progress: z.object({
    prompt_id: id,
    nodes: z.record(
      z.string(),
      z.object({
        value: z.number(),
        max: z.number(),
        state: z.string(),
        node_id: id,
        display_node_id: id.nullish(),
      }),
    ),
  }),
  failed: z.object({
    prompt_id: id,
    node_id: id.nullish(),
    node_type: z.string().nullish(),
    exception_type: z.string().catch('Exception'),
    exception_message: z.string().catch(''),
    traceback: z.array(z.string()).catch([]),
  }),
};

const envelope = z.object({ type: z.string(), data: z.unknown() });

/**
 * Reads a text frame. Null for frames that are not used: events of custom nodes, invalid JSON, and a blocked
 * execution, which is reported as an error but ends nothing (`execution.py`, ExecutionBlocked).
 */
export function readTextFrame(text: string): EngineEvent | null {
  const message = parseEnvelope(text);
  if (message === null) return null;
  const { type, data } = message;
  switch (type) {
    case 'status':
      return read(schemas.status, data, d => ({
        type: 'status',
        queueRemaining: d.status.exec_info.queue_remaining,
      }));
    case 'feature_flags':
      return read(schemas.features, data, d => ({
        type: 'features',
        previewMetadata: d.supports_preview_metadata === true,
      }));
    case 'execution_start':
      return read(promptOnly, data, d => ({ type: 'started', promptId: d.prompt_id }));
    case 'execution_cached':
      return read(schemas.cached, data, d => ({ type: 'cached', promptId: d.prompt_id, nodes: d.nodes }));
    case 'executing':
      return read(schemas.executing, data, d =>
        d.node === null
          ? { type: 'idle', promptId: d.prompt_id ?? null }
          : { type: 'executing', promptId: d.prompt_id ?? null, node: d.display_node ?? d.node },
      );
    case 'progress':
      return read(schemas.stepped, data, d =>
        d.node == null
          ? null
          : { type: 'stepped', promptId: d.prompt_id ?? null, node: d.node, value: d.value, max: d.max },
      );
    case 'progress_state':
      return read(schemas.progress, data, d => ({
        type: 'progress',
        promptId: d.prompt_id,
        nodes: Object.values(d.nodes).map(node => ({
          node: node.display_node_id ?? node.node_id,
          value: node.value,
          max: node.max,
          // A node that was expanded shares its display id with its parts: only the node itself can finish it.
          finished: node.state === 'finished' && (node.display_node_id ?? node.node_id) === node.node_id,
        })),
      }));
    case 'executed':
      return read(schemas.executed, data, d => ({
        type: 'executed',
        promptId: d.prompt_id,
        node: d.node,
        files: filesOf(d.output),
      }));
    case 'execution_success':
      return read(promptOnly, data, d => ({ type: 'succeeded', promptId: d.prompt_id }));
    case 'execution_interrupted':
      return read(promptOnly, data, d => ({ type: 'interrupted', promptId: d.prompt_id }));
    case 'execution_error':
      return read(schemas.failed, data, d =>
        d.exception_type === 'ExecutionBlocked'
          ? null
          : { type: 'failed', promptId: d.prompt_id, failure: toFailure(d) },
      );
    default:
      return null;
  }
}

/** The failure in an `execution_error`, which has the same form in the socket and in `/history`; null for anything else. */
export function readFailure(data: unknown): ExecutionFailure | null {
  const parsed = schemas.failed.safeParse(data);
  return parsed.success ? toFailure(parsed.data) : null;
}

function toFailure(data: z.infer<typeof schemas.failed>): ExecutionFailure {
  return {
    node: data.node_id ?? null,
    nodeType: data.node_type ?? null,
    exceptionType: data.exception_type,
    message: data.exception_message.trim(),
    traceback: data.traceback.join(''),
  };
}

function parseEnvelope(text: string): z.infer<typeof envelope> | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // A node may put NaN into an event, which is not JSON. Events are hints, so it is ignored.
    return null;
  }
  const parsed = envelope.safeParse(json);
  return parsed.success ? parsed.data : null;
}

function read<T extends z.ZodType>(
  schema: T,
  data: unknown,
  build: (data: z.output<T>) => EngineEvent | null,
): EngineEvent | null {
  const parsed = schema.safeParse(data);
  return parsed.success ? build(parsed.data) : null;
}

const PREVIEW = 1;
const PREVIEW_WITH_METADATA = 4;
const FORMATS = new Map<number, 'image/jpeg' | 'image/png'>([
  [1, 'image/jpeg'],
  [2, 'image/png'],
]);

const previewMetadata = z.object({
  prompt_id: z.string().nullish(),
  image_type: z.enum(['image/jpeg', 'image/png']),
});

/**
 * Reads a binary frame: a big-endian uint32 kind; for kind 1 a uint32 format and the image, for kind 4 a uint32 length, JSON
 * of that length, and the image (`protocol.py`, `server.py` send_image_with_metadata). Null for other kinds and for
 * truncated frames.
 */
export function readBinaryFrame(frame: Uint8Array): EngineEvent | null {
  if (frame.byteLength < 8) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const kind = view.getUint32(0);
  const second = view.getUint32(4);
  if (kind === PREVIEW) {
    const mimeType = FORMATS.get(second);
    return mimeType ? { type: 'preview', promptId: null, mimeType, bytes: frame.subarray(8) } : null;
  }
  if (kind !== PREVIEW_WITH_METADATA || second > frame.byteLength - 8) return null;
  const text = new TextDecoder().decode(frame.subarray(8, 8 + second));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Without readable metadata the image cannot be attributed to a prompt.
    return null;
  }
  const metadata = previewMetadata.safeParse(json);
  if (!metadata.success) return null;
  return {
    type: 'preview',
    promptId: metadata.data.prompt_id ?? null,
    mimeType: metadata.data.image_type,
    bytes: frame.subarray(8 + second),
  };
}
