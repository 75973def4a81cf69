import sharp from 'sharp';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { parseJson, toJson } from '../../../src/sandbox/wire/json.ts';

/** What a socket received: a JSON message, or a binary frame. */
export type Frame =
  | { readonly type: string; readonly data: Record<string, unknown> }
  | { readonly binary: Buffer };

export interface TestSocket {
  readonly frames: readonly Frame[];
  /** Resolves with the first frame from here on, received already or to come, that fits; rejects after 10 s. */
  until(fits: (frame: Frame) => boolean, from?: number): Promise<Frame>;
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  close(): Promise<void>;
}

const message = z.object({ type: z.string(), data: z.record(z.string(), z.unknown()) });
const PATIENCE_MS = 10_000;

/** Opens a socket as a client does; with `features` it asks for previews that name their prompt, and waits for the answer. */
export async function openSocket(base: string, clientId: string, features = true): Promise<TestSocket> {
  const socket = new WebSocket(`${base.replace(/^http/, 'ws')}/ws?clientId=${clientId}`);
  const frames: Frame[] = [];
  const watchers = new Set<() => void>();
  socket.on('message', (raw, isBinary) => {
    const bytes = Buffer.isBuffer(raw) ? raw : Buffer.alloc(0);
    frames.push(isBinary ? { binary: bytes } : message.parse(JSON.parse(bytes.toString())));
    for (const watcher of [...watchers]) watcher();
  });
  const closed = new Promise<number>(resolve => socket.on('close', resolve));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  // 'close' always follows.
  socket.on('error', () => undefined);

  function until(fits: (frame: Frame) => boolean, from = 0): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => {
        watchers.delete(look);
        reject(new Error(`waited in vain; heard ${frames.map(nameOf).join(' ')}`));
      }, PATIENCE_MS);
      const look = (): void => {
        const found = frames.slice(from).find(fits);
        if (found === undefined) return;
        clearTimeout(patience);
        watchers.delete(look);
        resolve(found);
      };
      watchers.add(look);
      look();
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

/** The frame's type; `executing_null` for the event that ends a prompt. */
export function nameOf(frame: Frame): string {
  if ('binary' in frame) return 'preview';
  return frame.type === 'executing' && frame.data.node === null ? 'executing_null' : frame.type;
}

/** True when the frame is an event of this type, and of this prompt if one is given. */
export function isType(frame: Frame, type: string, promptId?: string): boolean {
  if (nameOf(frame) !== type) return false;
  return promptId === undefined || ('data' in frame && frame.data.prompt_id === promptId);
}

export interface Exchange {
  readonly status: number;
  readonly contentType: string;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** Parsed when it is JSON, null otherwise. Integers keep all their digits. */
  readonly body: unknown;
}

/** One HTTP exchange. A body that is not a form is sent as JSON. Rejects when the connection is cut. */
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
  running: z.string().nullable(),
  pending: z.array(z.string()),
  sockets: z.array(z.string()),
  timeline: z.array(z.object({ id: z.string(), startedAt: z.number(), endedAt: z.number().nullable() })),
});

/** What the sandbox says it did. */
export async function readStats(base: string): Promise<Stats> {
  return statsSchema.parse((await call(`${base}/sandbox/stats`)).body);
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

/** All of the history, oldest first. */
export async function readHistory(base: string): Promise<Map<string, HistoryEntry>> {
  return new Map(Object.entries(historySchema.parse((await call(`${base}/history`)).body)));
}

/** The name that an upload was stored under. */
export function storedName({ body }: Exchange): string {
  return z.object({ name: z.string() }).parse(body).name;
}

/** Switches faults on, or all off with `{}`. */
export async function setFaults(base: string, faults: Record<string, unknown>): Promise<void> {
  const { status, body } = await call(`${base}/sandbox/faults`, 'POST', faults);
  if (status !== 200) throw new Error(`faults refused: ${JSON.stringify(body)}`);
}

/** Asks again and again until the answer fits; rejects after 10 s. */
export async function eventually<T>(ask: () => Promise<T>, fits: (answer: T) => boolean): Promise<T> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (fits(answer)) return answer;
    if (Date.now() > end) throw new Error(`waited in vain; last: ${JSON.stringify(answer)}`);
  }
}

/** A plain picture as PNG. */
export function picture(width: number, height: number, colour: string): Promise<Buffer> {
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

export type Node = { class_type: string; inputs: Record<string, unknown> };

/** The Qwen Image Edit Plus graph with one picture; `prefix` is where the result goes. */
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
