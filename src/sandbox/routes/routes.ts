import { totalmem } from 'node:os';
import type { Engine } from '../engine.ts';
import type { HistoryEntry, QueueItem } from '../execution/queue.ts';
import { describeClasses, modelFolders, modelsIn } from '../nodes/object-info.ts';
import { type JsonObject, parseJson } from '../wire/json.ts';
import { type Answer, empty, json, serverError } from '../wire/reply.ts';
import { uploadImage, viewImage } from './images.ts';
import { changeHistory, changeQueue, free, interrupt, submitPrompt } from './prompts.ts';

export interface Call {
  readonly method: string;
  /** Without the `/api` that every route also answers to. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly contentType: string;
  body(): Promise<Buffer>;
}

/** Answers a request to the engine. */
export async function route(engine: Engine, call: Call): Promise<Answer> {
  switch (call.method) {
    case 'GET':
    case 'HEAD':
      return answerGet(engine, call);
    case 'POST':
      return answerPost(engine, call);
    case 'OPTIONS':
      return empty();
    default:
      return { kind: 'text', status: 405, text: '405: Method Not Allowed' };
  }
}

async function answerGet(engine: Engine, { path, query }: Call): Promise<Answer> {
  switch (path) {
    case '/prompt':
      return json({ exec_info: { queue_remaining: engine.queue.remaining() } });
    case '/queue': {
      const running = engine.queue.running();
      return json({
        queue_running: running === null ? [] : [tupleOf(running)],
        queue_pending: engine.queue.pending().map(tupleOf),
      });
    }
    case '/history':
      return listHistory(engine, query);
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
      return answerNamed(engine, path);
  }
}

function answerNamed(engine: Engine, path: string): Answer {
  const [, route, ...rest] = path.split('/');
  const name = decode(rest.join('/'));
  switch (name === '' || rest.length !== 1 ? '' : route) {
    case 'history': {
      const entry = visibleHistory(engine).get(name);
      return json(entry === undefined ? {} : { [name]: describeEntry(entry) });
    }
    case 'object_info': {
      const classes = describeClasses(engine.classes, engine.files);
      return json(Object.hasOwn(classes, name) ? { [name]: classes[name] } : {});
    }
    case 'models': {
      const models = modelsIn(engine.classes, name);
      return models === null ? empty(404) : json(models);
    }
    default:
      // What the front end's static files answer for a name they do not have.
      return { kind: 'empty', status: 404, type: 'application/octet-stream' };
  }
}

async function answerPost(engine: Engine, call: Call): Promise<Answer> {
  switch (call.path) {
    case '/prompt':
      return withJson(call, body => submitPrompt(engine, body));
    case '/queue':
      return withJson(call, body => changeQueue(engine, body));
    case '/history':
      return withJson(call, body => changeHistory(engine, body));
    case '/free':
      return withJson(call, body => free(engine, body));
    case '/interrupt':
      // No body, or one that is not JSON, means: whatever runs.
      return interrupt(engine, readBody(await call.body())?.value ?? null);
    case '/upload/image':
      return uploadImage(engine, await call.body(), call.contentType);
    default:
      return { kind: 'text', status: 405, text: '405: Method Not Allowed' };
  }
}

async function withJson(call: Call, answer: (body: unknown) => Answer): Promise<Answer> {
  const body = readBody(await call.body());
  return body === null ? serverError() : answer(body.value);
}

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

function tupleOf({ number, promptId, graph, extraData, outputs }: QueueItem): unknown[] {
  return [number, promptId, graph, extraData, outputs];
}

function describeEntry({ item, outputs, status, meta }: HistoryEntry): JsonObject {
  return { prompt: tupleOf(item), outputs, status, meta };
}

function visibleHistory(engine: Engine): ReadonlyMap<string, HistoryEntry> {
  const { lateHistory } = engine.faults;
  const history = engine.queue.history();
  if (lateHistory === 0) return history;
  const latest = Date.now() - lateHistory;
  return new Map([...history].filter(([, entry]) => entry.at <= latest));
}

/** `max_items` alone takes the newest, with an offset it counts from the oldest (`execution.py`, get_history). */
function listHistory(engine: Engine, query: URLSearchParams): Answer {
  const limit = readInteger(query.get('max_items'));
  const offset = readInteger(query.get('offset'));
  if (limit === 'bad' || offset === 'bad') return serverError();
  const all = [...visibleHistory(engine)];
  const from = offset ?? -1;
  const start = from < 0 && limit !== null ? Math.max(0, all.length - limit) : Math.max(0, from);
  const chosen = all.slice(start, limit === null ? undefined : start + limit);
  return json(Object.fromEntries(chosen.map(([id, entry]) => [id, describeEntry(entry)])));
}

function readInteger(text: string | null): number | null | 'bad' {
  if (text === null) return null;
  return /^[+-]?\d+$/.test(text) ? Number(text) : 'bad';
}

/** The version that each dialect tells. */
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
