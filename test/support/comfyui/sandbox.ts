import sharp from 'sharp';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../../src/sandbox/server.ts';
import { parseJson, toJson } from '../../../src/sandbox/wire/json.ts';

/** Starts a sandbox with its control routes, without delays unless `options` set them. It stops when the test ends. */
export async function startTestSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ stepMs: 0, control: true, ...options });
  onTestFinished(() => sandbox.stop());
  return sandbox;
}

/** What a socket received: a JSON message, or a binary frame. */
export type Frame =
  | { readonly type: string; readonly data: Record<string, unknown> }
  | { readonly binary: Buffer };

export interface TestSocket {
  readonly frames: readonly Frame[];
  /** Resolves with the first matching frame, received already or later, from index `from` on; rejects after 10 s. */
  until(matches: (frame: Frame) => boolean, from?: number): Promise<Frame>;
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  close(): Promise<void>;
}

const message = z.object({ type: z.string(), data: z.record(z.string(), z.unknown()) });
const TIMEOUT_MS = 10_000;

/** Opens a socket as a client does. With `features` it requests previews with metadata and waits for the server's flags. */
export async function openSocket(base: string, clientId: string, features = true): Promise<TestSocket> {
  const socket = new WebSocket(`${base.replace(/^http/, 'ws')}/ws?clientId=${clientId}`);
  const frames: Frame[] = [];
  const checks = new Set<() => void>();
  socket.on('message', (raw, isBinary) => {
    const bytes = Buffer.isBuffer(raw) ? raw : Buffer.alloc(0);
    frames.push(isBinary ? { binary: bytes } : message.parse(JSON.parse(bytes.toString())));
    for (const check of [...checks]) check();
  });
  const closed = new Promise<number>(resolve => socket.on('close', resolve));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  // 'close' follows every 'error'.
  socket.on('error', () => undefined);

  function until(matches: (frame: Frame) => boolean, from = 0): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        checks.delete(check);
        reject(new Error(`timed out; received ${frames.map(nameOf).join(' ')}`));
      }, TIMEOUT_MS);
      const check = (): void => {
        const found = frames.slice(from).find(matches);
        if (found === undefined) return;
        clearTimeout(timeout);
        checks.delete(check);
        resolve(found);
      };
      checks.add(check);
      check();
    });
  }

  await until(frame => isType(frame, 'status'));
  if (features) {
    socket.send(JSON.stringify({ type: 'feature_flags', data: { supports_preview_metadata: true } }));
    await until(frame => isType(frame, 'feature_flags'));
  }
  return {
    frames,
    until,
    closed,
    async close() {
      socket.close();
      await closed;
    },
  };
}

/** The type of a frame: `preview` for a binary one, `executing_null` for the event that ends a prompt. */
export function nameOf(frame: Frame): string {
  if ('binary' in frame) return 'preview';
  return frame.type === 'executing' && frame.data.node === null ? 'executing_null' : frame.type;
}

/** Whether the frame is an event of this type, and of this prompt if given. */
export function isType(frame: Frame, type: string, promptId?: string): boolean {
  if (nameOf(frame) !== type) return false;
  return promptId === undefined || ('data' in frame && frame.data.prompt_id === promptId);
}

export interface Exchange {
  readonly status: number;
  readonly contentType: string;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** The parsed JSON, with all digits of integers; null for another type. */
  readonly body: unknown;
}

/** Sends a request; a body that is not a form is sent as JSON. Rejects when the connection is closed. */
export async function call(url: string, method = 'GET', body?: unknown): Promise<Exchange> {
  const response = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: body instanceof FormData ? body : toJson(body) }),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const contentType = response.headers.get('content-type') ?? '';
  const isJson = contentType.startsWith('application/json');
  return {
    status: response.status,
    contentType,
    headers: response.headers,
    bytes,
    body: isJson ? parseJson(bytes.toString()) : null,
  };
}

export interface Stats {
  readonly executed: Record<string, number>;
  readonly completed: Record<string, number>;
  readonly interrupted: Record<string, number>;
  readonly uploads: number;
  readonly prompts: number;
  readonly frees: number;
  readonly loads: Readonly<Record<string, number>>;
  readonly running: string | null;
  readonly pending: string[];
  readonly sockets: string[];
  readonly timeline: { id: string; startedAt: number; endedAt: number | null }[];
}

const counts = z.record(z.string(), z.number());
const statsSchema = z.object({
  executed: counts,
  completed: counts,
  interrupted: counts,
  uploads: z.number(),
  prompts: z.number(),
  frees: z.number(),
  loads: z.record(z.string(), z.number()),
  running: z.string().nullable(),
  pending: z.array(z.string()),
  sockets: z.array(z.string()),
  timeline: z.array(z.object({ id: z.string(), startedAt: z.number(), endedAt: z.number().nullable() })),
});

/** Reads the sandbox's counters. */
export async function readStats(base: string): Promise<Stats> {
  return statsSchema.parse((await call(`${base}/sandbox/stats`)).body);
}

/** A sandbox whose faults a test can activate. */
export interface TestEngine extends Sandbox {
  fault(faults: Record<string, unknown>): Promise<void>;
  stats(): Promise<Stats>;
}

export async function startTestEngine(options: SandboxOptions = {}): Promise<TestEngine> {
  const sandbox = await startSandbox({ stepMs: 10, control: true, ...options });
  return {
    ...sandbox,
    fault: faults => setFaults(sandbox.url, faults),
    stats: () => readStats(sandbox.url),
  };
}

const historySchema = z.record(
  z.string(),
  z.object({
    outputs: z.record(z.string(), z.object({ images: z.array(z.record(z.string(), z.string())) })),
    status: z.object({
      status_str: z.string(),
      messages: z.array(z.tuple([z.string(), z.looseObject({ exception_type: z.string().optional() })])),
    }),
  }),
);

export type HistoryEntry = z.infer<typeof historySchema>[string];

/** Reads the whole history, oldest first. */
export async function readHistory(base: string): Promise<Map<string, HistoryEntry>> {
  return new Map(Object.entries(historySchema.parse((await call(`${base}/history`)).body)));
}

/** Activates faults, or clears all with `{}`. */
export async function setFaults(base: string, faults: Record<string, unknown>): Promise<void> {
  const { status, body } = await call(`${base}/sandbox/faults`, 'POST', faults);
  if (status !== 200) throw new Error(`faults rejected: ${JSON.stringify(body)}`);
}

/** A PNG of one colour. */
export function plainPng(width: number, height: number, colour: string): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: colour } })
    .png()
    .toBuffer();
}

/** Uploads a file as a form. */
export function upload(
  base: string,
  name: string,
  bytes: Buffer,
  fields: Record<string, string> = {},
): Promise<Exchange> {
  const form = new FormData();
  form.set('image', new Blob([new Uint8Array(bytes)]), name);
  for (const [field, value] of Object.entries(fields)) form.set(field, value);
  return call(`${base}/upload/image`, 'POST', form);
}

/** Uploads an input image of one colour; resolves with its name. */
export async function uploadInput(sandbox: Sandbox, width = 400, height = 300): Promise<string> {
  const { body } = await upload(sandbox.url, 'in.png', await plainPng(width, height, '#2a6'));
  return z.object({ name: z.string() }).parse(body).name;
}

/** Submits a graph under this prompt id, which is the client id too. Rejects unless it is accepted. */
export async function submitGraph(sandbox: Sandbox, id: string, prompt: unknown): Promise<void> {
  const { status, body } = await call(`${sandbox.url}/prompt`, 'POST', {
    prompt,
    prompt_id: id,
    client_id: id,
  });
  z.object({ status: z.literal(200), body: z.object({ prompt_id: z.literal(id) }) }).parse({ status, body });
}

export type Node = { class_type: string; inputs: Record<string, unknown> };

/** The Qwen Image Edit Plus graph with one input image; `prefix` is the prefix of the output file. */
export function editGraph(options: {
  image: string;
  prefix: string;
  prompt?: string;
  seed?: number | string;
  steps?: number;
  megapixels?: number;
}): Record<string, Node> {
  return {
    '37': {
      class_type: 'UNETLoader',
      inputs: { unet_name: 'qwen_image_edit_2509_fp8_e4m3fn.safetensors', weight_dtype: 'default' },
    },
    '38': {
      class_type: 'CLIPLoader',
      inputs: { clip_name: 'qwen_2.5_vl_7b_fp8_scaled.safetensors', type: 'qwen_image' },
    },
    '39': { class_type: 'VAELoader', inputs: { vae_name: 'qwen_image_vae.safetensors' } },
    '78': { class_type: 'LoadImage', inputs: { image: options.image } },
    '93': {
      class_type: 'ImageScaleToTotalPixels',
      inputs: {
        image: ['78', 0],
        upscale_method: 'lanczos',
        megapixels: options.megapixels ?? 0.05,
        resolution_steps: 1,
      },
    },
    '88': { class_type: 'VAEEncode', inputs: { pixels: ['93', 0], vae: ['39', 0] } },
    '111': {
      class_type: 'TextEncodeQwenImageEditPlus',
      inputs: { clip: ['38', 0], vae: ['39', 0], prompt: options.prompt ?? 'make it red', image1: ['93', 0] },
    },
    '110': {
      class_type: 'TextEncodeQwenImageEditPlus',
      inputs: { clip: ['38', 0], vae: ['39', 0], prompt: '', image1: ['93', 0] },
    },
    '3': {
      class_type: 'KSampler',
      inputs: {
        model: ['37', 0],
        positive: ['111', 0],
        negative: ['110', 0],
        latent_image: ['88', 0],
        seed: options.seed ?? 1,
        steps: options.steps ?? 4,
        cfg: 4,
        sampler_name: 'euler',
        scheduler: 'simple',
        denoise: 1,
      },
    },
    '8': { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['39', 0] } },
    '60': { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: options.prefix } },
  };
}
