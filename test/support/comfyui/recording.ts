import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parseJson } from '../../../src/sandbox/wire/json.ts';
import { type Exchange, type Frame, nameOf } from './sandbox.ts';

/** One HTTP exchange of a recording. */
export interface RecordedCall {
  readonly method: string;
  readonly path: string;
  readonly request: unknown;
  readonly status: number;
  readonly contentType: string;
  readonly headers: Record<string, string>;
  readonly body: unknown;
}

export interface Recording {
  readonly calls: readonly RecordedCall[];
  /** The frames that each socket received. */
  readonly sockets: Readonly<Record<string, readonly Frame[]>>;
}

const line = z.object({
  http: z.string().optional(),
  request: z.unknown().default(null),
  status: z.number().default(0),
  content_type: z.string().default(''),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.unknown().default(null),
  ws: z.string().optional(),
  text: z
    .union([z.string(), z.object({ type: z.string(), data: z.record(z.string(), z.unknown()) })])
    .optional(),
  binary: z.string().optional(),
});

/** Reads a recording of a real ComfyUI. Integers keep all their digits. */
export function readRecording(name: string): Recording {
  const file = new URL(`../../fixtures/comfyui/${name}.jsonl`, import.meta.url);
  const calls: RecordedCall[] = [];
  const sockets: Record<string, Frame[]> = {};
  for (const text of readFileSync(file, 'utf8').trim().split('\n')) {
    const entry = line.parse(parseJson(text));
    if (entry.ws !== undefined) {
      const frames = sockets[entry.ws] ?? [];
      sockets[entry.ws] = frames;
      if (entry.binary !== undefined) frames.push({ binary: Buffer.from(entry.binary, 'base64') });
      else if (typeof entry.text === 'object') frames.push(entry.text);
    } else if (entry.http !== undefined) {
      const [method = 'GET', path = '/'] = entry.http.split(/ (.*)/s);
      const { request, status, headers, body } = entry;
      calls.push({ method, path, request, status, contentType: entry.content_type, headers, body });
    }
  }
  return { calls, sockets };
}

/** Lists made from Python sets, which have no order: they are compared sorted. */
const UNORDERED = new Set(['nodes', 'executed', 'current_outputs', 'errors']);
/** Values that differ between runs and machines: only their types are compared. */
const VOLATILE = new Set(['timestamp', 'traceback', 'current_inputs']);
/** Step numbers, of which a socket may miss some. */
const STEPS = new Set(['value']);

/** The value with the parts that differ between runs replaced by their types. */
export function normalised(value: unknown, key = ''): unknown {
  if (VOLATILE.has(key)) return shapeOf(value);
  if (STEPS.has(key) && typeof value === 'number') return 'number';
  if (Array.isArray(value)) {
    const items = value.map(item => normalised(item, key));
    return UNORDERED.has(key) ? items.map(item => JSON.stringify(item)).sort() : items;
  }
  if (typeof value === 'bigint') return `integer ${value}`;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(name => [name, normalised(Reflect.get(value, name), name)]),
  );
}

/** Only the types: of an object by key, of an array the set of its items' types. */
export function shapeOf(value: unknown): unknown {
  if (value === null) return 'null';
  if (Array.isArray(value)) return [...new Set(value.map(item => JSON.stringify(shapeOf(item))))].sort();
  if (typeof value === 'bigint') return 'number';
  if (typeof value !== 'object') return typeof value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(name => [name, shapeOf(Reflect.get(value, name))]),
  );
}

/** The frames of a socket as lines to compare; repeated groups of a sampling step count as one. */
export function linesOf(frames: readonly Frame[]): string[] {
  const lines = frames.map(frame =>
    'binary' in frame
      ? `preview ${headOf(frame.binary)}`
      : `${nameOf(frame)} ${JSON.stringify(normalised(frame.data))}`,
  );
  const kept: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const group = lines.slice(at, at + 3);
    const isStep = group.length === 3 && group.filter(text => text.startsWith('preview ')).length === 1;
    if (isStep && JSON.stringify(kept.slice(-3)) === JSON.stringify(group)) {
      at += 3;
      continue;
    }
    kept.push(lines[at] ?? '');
    at += 1;
  }
  return kept;
}

/** The header of a preview frame, and whether a JPEG follows. */
function headOf(frame: Buffer): string {
  const kind = frame.readUInt32BE(0);
  const second = frame.readUInt32BE(4);
  const start = kind === 4 ? 8 + second : 8;
  const isJpeg = frame.readUInt16BE(start) === 0xffd8;
  const metadata: unknown = kind === 4 ? JSON.parse(frame.subarray(8, start).toString()) : null;
  return JSON.stringify({ kind, format: kind === 1 ? second : null, metadata, isJpeg });
}

/** The parts of an exchange to compare. */
export function comparable(
  call: RecordedCall,
  exchange: Exchange | RecordedCall,
  typesOnly: boolean,
): unknown {
  return {
    call: `${call.method} ${call.path}`,
    status: exchange.status,
    contentType: exchange.contentType,
    body: typesOnly ? shapeOf(exchange.body) : normalised(exchange.body),
  };
}
