import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import { z } from 'zod';
import { mapAtMost } from '../concurrency/bounded.ts';
import { asksForHttps, NOT_HTTP, NOT_HTTPS, wrongScheme } from '../outbound/scheme.ts';
import type { Graph } from '../workflows/graph.ts';
import {
  type HistoryEntry,
  type QueueView,
  type Rejection,
  readAccepted,
  readFeatures,
  readHistory,
  readHistoryOf,
  readQueue,
  readRejection,
  readSystemStats,
  type SystemStats,
} from './answers.ts';
import { basic, type EngineCredentials, type EngineTls, NO_CREDENTIALS } from './credentials.ts';
import type { EngineFile } from './files.ts';
import { asksForCertificate, sayTlsFault, tlsFaultOf } from './tls.ts';
import { EngineUnreachable, reasonOf } from './unreachable.ts';
import { type EngineUpload, uploadForm } from './upload.ts';

/** `promptId`: the engine's id of the prompt, which need not be the one that was requested. */
export type SubmitAnswer =
  | { kind: 'accepted'; promptId: string }
  | { kind: 'rejected'; rejection: Rejection };

export interface EngineDownload {
  readonly stream: Readable;
  readonly mimeType: string;
}

/** The HTTP API of one ComfyUI server. Every call throws EngineUnreachable when there is no usable response. */
export interface EngineClient {
  /** Without credentials, for logs. */
  readonly url: string;
  systemStats(): Promise<SystemStats>;
  /**
   * How far its clock is ahead of ours, in milliseconds, by the header `Date` of a response: exact to a second and half the
   * time that the response takes. Null without that header.
   */
  clockAheadMs(): Promise<number | null>;
  /** Whether previews can carry the id of their prompt and feature flags are answered; older engines have no such path. */
  previewMetadata(): Promise<boolean>;
  /** All node classes, as GET /object_info describes them: megabytes on an engine with many node packs. */
  objectInfo(): Promise<unknown>;
  /**
   * The node classes of these names, described as in `objectInfo`; those that the engine lacks are left out. They are requested
   * one by one, so that ComfyUI's only event loop is not held, and all at once where that fails: an engine may not have that
   * path, and responds with 500 to a class whose inputs cannot be read, which it leaves out of the list of all (`server.py`).
   */
  nodeClasses(names: Iterable<string>): Promise<Record<string, unknown>>;
  /** Uploads an image. Returns the name for LoadImage, which may differ from the requested one. */
  upload(file: EngineUpload): Promise<string>;
  submit(prompt: { promptId: string; clientId: string; graph: Graph }): Promise<SubmitAnswer>;
  queue(): Promise<QueueView>;
  history(promptId: string): Promise<HistoryEntry | null>;
  /** The id of the newest prompt in the recent history that was submitted with this client id; null when there is none. */
  historyOf(clientId: string): Promise<string | null>;
  /** Deletes pending prompts; running and unknown ones are ignored silently. */
  deletePending(promptId: string): Promise<void>;
  /** Interrupts the prompt if it runs. An engine that cannot target a prompt (before 0.3.57) interrupts whatever runs. */
  interrupt(promptId: string): Promise<void>;
  free(): Promise<void>;
  deleteHistory(promptId: string): Promise<void>;
  /** Null when the file does not exist. */
  view(file: EngineFile): Promise<EngineDownload | null>;
  /** The URL of the socket, with the credentials of its handshake. */
  socketUrl(clientId: string): { url: string; headers: Record<string, string>; tls: EngineTls };
  close(): Promise<void>;
}

export interface EngineClientOptions {
  /** http or https, with optional basic credentials and path. */
  readonly url: string;
  /** Those of the engine, which win over basic credentials in the URL. Redirects are not followed, so they go nowhere else. */
  readonly credentials?: EngineCredentials | undefined;
  /** Milliseconds to wait for a response; large, because ComfyUI's only event loop stalls at times. */
  readonly timeoutMs: number;
  /** The `traceparent` of the requests that are made now; null or unset: none. */
  readonly traceparent?: (() => string | null) | undefined;
}

/** Node classes that are requested at the same time, each on a connection of its own. */
const CLASSES_AT_ONCE = 4;
/** Entries of the history that are searched for a client id: the newest. */
const HISTORY_ITEMS = 64;

/** Creates a client; it connects with the first call. */
export function createEngineClient(options: EngineClientOptions): EngineClient {
  const base = new URL(options.url);
  const { headers: given, tls } = options.credentials ?? NO_CREDENTIALS;
  const headers: Record<string, string> = { ...given };
  if (base.username !== '') {
    headers.authorization ??= basic(decodeURIComponent(base.username), decodeURIComponent(base.password));
  }
  base.username = '';
  base.password = '';
  const root = base.href.replace(/\/+$/, '');
  const agent = new Agent({
    // undici's default limits of 300 s would abort a slow download.
    headersTimeout: options.timeoutMs,
    bodyTimeout: options.timeoutMs,
    connect: { ...tls, timeout: Math.min(options.timeoutMs, 10_000) },
    keepAliveTimeout: 4_000,
  });

  /** Whether the engine has responded, and therefore speaks the scheme of its URL. */
  let responded = false;

  /** Those of every request, with the trace that it belongs to. */
  function ownHeaders(): Record<string, string> {
    const traceparent = options.traceparent?.() ?? null;
    return traceparent === null ? headers : { ...headers, traceparent };
  }

  async function call(
    path: string,
    init: Partial<Dispatcher.RequestOptions> = {},
  ): Promise<Dispatcher.ResponseData> {
    const method = init.method ?? 'GET';
    try {
      const answer = await request(`${root}${path}`, {
        dispatcher: agent,
        method,
        body: init.body ?? null,
        headers: { ...ownHeaders(), ...(init.headers as Record<string, string> | undefined) },
      });
      responded ||= answer.statusCode === 200;
      return answer;
    } catch (error) {
      const scheme = responded ? null : wrongScheme(error, base.protocol);
      const otherScheme = scheme === NOT_HTTP || scheme === NOT_HTTPS;
      const message = `${nameOf(method, path)}: ${scheme ?? reasonOf(error)}`;
      throw new EngineUnreachable(message, { cause: error, otherScheme, tls: tlsFaultOf(error) });
    }
  }

  async function readJson<T>(
    path: string,
    parse: (json: unknown) => T,
    init?: Partial<Dispatcher.RequestOptions>,
  ) {
    const answer = await call(path, init);
    return bodyOf(answer, nameOf(init?.method ?? 'GET', path), parse);
  }

  async function bodyOf<T>(
    answer: Dispatcher.ResponseData,
    name: string,
    parse: (json: unknown) => T,
  ): Promise<T> {
    const { statusCode: status } = answer;
    let text: string;
    try {
      text = await answer.body.text();
    } catch (error) {
      throw new EngineUnreachable(`${name}: ${reasonOf(error)}`, { cause: error });
    }
    if (status !== 200) {
      const otherScheme = wantsHttps(answer, text);
      const tls = status === 400 && asksForCertificate(text) ? 'client-certificate' : null;
      const reason = tls === null ? (otherScheme ? `: ${NOT_HTTP}` : '') : `: ${sayTlsFault(tls)}`;
      throw new EngineUnreachable(`${name} answered ${status}${reason}`, { status, otherScheme, tls });
    }
    try {
      // Python writes NaN and Infinity, which are not JSON; no number of a graph is read from these responses.
      return parse(JSON.parse(text.replace(/(?<=[[:,]\s*)(NaN|-?Infinity)(?=\s*[,\]}])/g, 'null')));
    } catch (cause) {
      throw new EngineUnreachable(`${name} answered as ComfyUI does not`, { status, cause });
    }
  }

  /** Whether a response to plain http asks for https, as a proxy in front of an engine does. */
  function wantsHttps({ statusCode, headers: { location } }: Dispatcher.ResponseData, text: string): boolean {
    if (base.protocol !== 'http:') return false;
    if (statusCode === 400) return asksForHttps(text);
    return statusCode >= 300 && statusCode < 400 && /^https:/i.test(String(location));
  }

  async function post(path: string, body: unknown): Promise<void> {
    const answer = await call(path, jsonBody(body));
    await answer.body.dump();
    const { statusCode: status } = answer;
    if (status !== 200) throw new EngineUnreachable(`POST ${path} answered ${status}`, { status });
  }

  return {
    url: root,
    systemStats: () => readJson('/system_stats', readSystemStats),
    async clockAheadMs() {
      const sent = Date.now();
      const answer = await call('/system_stats');
      const received = Date.now();
      await answer.body.dump();
      const date = Date.parse(String(answer.headers.date));
      // The header has no fractions of a second.
      return Number.isNaN(date) ? null : Math.round(date + 500 - (sent + received) / 2);
    },
    async previewMetadata() {
      const answer = await call('/features');
      if (answer.statusCode !== 404) return bodyOf(answer, 'GET /features', readFeatures);
      await answer.body.dump();
      return false;
    },
    objectInfo: () => readJson('/object_info', json => json),
    async nodeClasses(names) {
      const wanted = [...names];
      try {
        const found = await mapAtMost(CLASSES_AT_ONCE, wanted, name =>
          readJson(`/object_info/${encodeURIComponent(name)}`, json => classes.parse(json)),
        );
        return pick(Object.fromEntries(found.flatMap(some => Object.entries(some ?? {}))), wanted);
      } catch (error) {
        if (!(error instanceof EngineUnreachable) || error.isDown) throw error;
        return pick(await readJson('/object_info', json => classes.parse(json)), wanted);
      }
    },
    async upload(file) {
      const form = { method: 'POST', ...uploadForm(file) } as const;
      const stored = await readJson('/upload/image', json => uploaded.parse(json), form);
      return stored.subfolder === '' ? stored.name : `${stored.subfolder}/${stored.name}`;
    },
    async submit({ promptId, clientId, graph }) {
      const answer = await call(
        '/prompt',
        jsonBody({ prompt: graph, prompt_id: promptId, client_id: clientId }),
      );
      if (answer.statusCode === 400) {
        const rejection = readRejection(await jsonOf(answer));
        if (rejection === null)
          throw new EngineUnreachable('POST /prompt answered 400 without a reason', { status: 400 });
        return { kind: 'rejected', rejection };
      }
      const accepted = await bodyOf(answer, 'POST /prompt', readAccepted);
      const { nodes } = accepted;
      if (nodes.length === 0) return { kind: 'accepted', promptId: accepted.promptId };
      // ComfyUI dropped some outputs and would run the rest, which is not the request.
      await post('/queue', { delete: [accepted.promptId] });
      const rejection = {
        type: 'prompt_outputs_failed_validation',
        message: 'Part of the graph was rejected',
        details: '',
        nodes,
      };
      return { kind: 'rejected', rejection };
    },
    queue: () => readJson('/queue', readQueue),
    history: promptId =>
      readJson(`/history/${encodeURIComponent(promptId)}`, json => readHistory(json, promptId)),
    historyOf: clientId =>
      readJson(`/history?max_items=${HISTORY_ITEMS}`, json => readHistoryOf(json, clientId)),
    deletePending: promptId => post('/queue', { delete: [promptId] }),
    interrupt: promptId => post('/interrupt', { prompt_id: promptId }),
    free: () => post('/free', { unload_models: true, free_memory: true }),
    deleteHistory: promptId => post('/history', { delete: [promptId] }),
    async view({ filename, subfolder, type }) {
      const answer = await call(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
      const { statusCode: status } = answer;
      if (status === 200) {
        const mimeType = String(answer.headers['content-type'] ?? 'application/octet-stream');
        return { stream: answer.body, mimeType };
      }
      await answer.body.dump();
      if (status === 404) return null;
      throw new EngineUnreachable(`GET /view answered ${status}`, { status });
    },
    socketUrl: clientId => ({
      url: `${root.replace(/^http/, 'ws')}/ws?clientId=${encodeURIComponent(clientId)}`,
      headers: ownHeaders(),
      tls,
    }),
    close: () => agent.destroy(),
  };
}

const classes = z.record(z.string(), z.unknown());

function pick(all: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.flatMap(name => (Object.hasOwn(all, name) ? [[name, all[name]]] : [])));
}

const uploaded = z.object({ name: z.string(), subfolder: z.string().catch('') });

function jsonBody(body: unknown): Partial<Dispatcher.RequestOptions> {
  return { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

async function jsonOf(answer: Dispatcher.ResponseData): Promise<unknown> {
  const text = await answer.body.text();
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: no rejection is found in it, which is reported.
    return null;
  }
}

/** A request as messages name it: without its query. */
function nameOf(method: string, path: string): string {
  return `${method} ${path.split('?', 1)[0]}`;
}
