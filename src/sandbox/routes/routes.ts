import { totalmem } from 'node:os';
import type { Engine } from '../engine.ts';
import { applyFaults, faultsSchema, noFaults } from '../faults.ts';
import { describeClass, describeClasses, modelFolders, modelsIn } from '../nodes/object-info.ts';
import { type JsonObject, parseJson } from '../wire/json.ts';
import { empty, json, type Reply, serverError } from '../wire/reply.ts';
import { uploadImage, viewImage } from './images.ts';
import {
  changeHistory,
  changeQueue,
  describeHistory,
  describeQueue,
  findHistory,
  free,
  interrupt,
  postPrompt,
} from './prompts.ts';

export interface Call {
  readonly method: string;
  /** Without `/api`, the optional prefix of every route. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  body(): Promise<Buffer>;
}

const METHOD_NOT_ALLOWED: Reply = { kind: 'text', status: 405, text: '405: Method Not Allowed' };

/** Serves a request to the engine (`server.py`, PromptServer). */
export async function route(engine: Engine, call: Call): Promise<Reply> {
  switch (call.method) {
    case 'GET':
    case 'HEAD':
      return routeGet(engine, call);
    case 'POST':
      return routePost(engine, call);
    case 'OPTIONS':
      return empty();
    default:
      return METHOD_NOT_ALLOWED;
  }
}

async function routeGet(engine: Engine, { path, query }: Call): Promise<Reply> {
  switch (path) {
    case '/prompt':
      return json({ exec_info: { queue_remaining: engine.queue.remaining() } });
    case '/queue':
      return json(describeQueue(engine));
    case '/history':
      return describeHistory(engine, query);
    case '/system_stats':
      return json(systemStats(engine));
    case '/features':
      return engine.features === null ? empty(404) : json(engine.features);
    case '/object_info':
      return json(describeClasses(engine.classes, engine.files));
    case '/models':
      return json(modelFolders());
    case '/embeddings':
      return json([]);
    case '/view':
      return viewImage(engine, query);
    case '/internal/files/input':
      return json(engine.files.list('input'));
    case '/internal/files/output':
      return json(engine.files.list('output'));
    case '/internal/files/temp':
      return json(engine.files.list('temp'));
    default:
      return routeNamed(engine, path);
  }
}

function routeNamed(engine: Engine, path: string): Reply {
  const [, route, ...rest] = path.split('/');
  const name = decode(rest.join('/'));
  switch (name === '' || rest.length !== 1 ? '' : route) {
    case 'history':
      return json(findHistory(engine, name));
    case 'object_info':
      return json(describeClass(engine.classes, name, engine.files));
    case 'models': {
      const models = modelsIn(engine.classes, name);
      return models === null ? empty(404) : json(models);
    }
    default:
      // ComfyUI serves the front end's static files here; this is their reply for a missing file.
      return { kind: 'empty', status: 404, type: 'application/octet-stream' };
  }
}

async function routePost(engine: Engine, call: Call): Promise<Reply> {
  switch (call.path) {
    case '/prompt':
      return withJson(call, body => postPrompt(engine, body));
    case '/queue':
      return withJson(call, body => changeQueue(engine, body));
    case '/history':
      return withJson(call, body => changeHistory(engine, body));
    case '/free':
      return withJson(call, body => free(engine, body));
    case '/interrupt':
      // Without a JSON body, whatever runs is interrupted.
      return interrupt(engine, readBody(await call.body())?.value ?? null);
    case '/upload/image':
      return uploadImage(engine, await call.body(), call.contentType);
    default:
      return METHOD_NOT_ALLOWED;
  }
}

async function withJson(call: Call, reply: (body: unknown) => Reply): Promise<Reply> {
  const body = readBody(await call.body());
  return body === null ? serverError() : reply(body.value);
}

/** The parsed JSON of a body; null when it is not JSON. */
function readBody(bytes: Buffer): { value: unknown } | null {
  try {
    return { value: parseJson(bytes.toString('utf8')) };
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

/** Serves the sandbox's own routes, POST /sandbox/faults and GET /sandbox/stats, which no fault affects. */
export async function routeControl(
  engine: Engine,
  call: Call,
  restart: (milliseconds: number | undefined) => void,
): Promise<Reply> {
  if (call.method === 'GET' && call.path === '/sandbox/stats') return json(describeStats(engine));
  if (call.method !== 'POST' || call.path !== '/sandbox/faults') {
    return { kind: 'text', status: 404, text: '404: Not Found' };
  }
  const parsed = faultsSchema.safeParse(readBody(await call.body())?.value);
  if (!parsed.success) return json({ error: parsed.error.message }, 400);
  const request = parsed.data;
  if (Object.keys(request).length === 0)
    Object.assign(engine.faults, noFaults(engine.stepMs, engine.modelLoadMs));
  applyFaults(engine.faults, request, Date.now());
  if (request.deafSockets === true) engine.hub.deafenAll();
  if (request.dropSockets === true) engine.hub.dropAll();
  if (request.restart === true) restart(request.restartMs);
  // After the prompt that runs was dropped: it must not find its files gone.
  for (const folder of request.emptyFolders ?? []) await engine.files.empty(folder);
  engine.worker.wake();
  return json({});
}

function describeStats({ stats, queue, hub }: Engine): unknown {
  const pending = [...queue.pending()]
    .sort((a, b) => a.number - b.number || (a.promptId < b.promptId ? -1 : 1))
    .map(item => item.promptId);
  return { ...stats, running: queue.running()?.promptId ?? null, pending, sockets: hub.ids() };
}

/** The ComfyUI version that each option reports. */
const VERSIONS = { '0.3.64': '0.3.64', '0.8.0': '0.8.0', legacy: '0.3.40' } as const;

function systemStats(engine: Engine): JsonObject {
  const memory = totalmem();
  return {
    system: {
      os: engine.version === '0.8.0' ? 'linux' : 'posix',
      ram_total: memory,
      ram_free: Math.round(memory / 2),
      comfyui_version: VERSIONS[engine.version],
      required_frontend_version: '1.27.10',
      installed_templates_version: null,
      required_templates_version: '0.1.95',
      python_version: 'none',
      pytorch_version: 'none',
      embedded_python: false,
      argv: ['sandbox'],
      sandbox: true,
    },
    devices: [
      {
        name: 'sandbox (no GPU, no model)',
        type: 'cpu',
        index: null,
        vram_total: memory,
        vram_free: Math.round(memory / 2),
        torch_vram_total: memory,
        torch_vram_free: Math.round(memory / 2),
      },
    ],
  };
}
