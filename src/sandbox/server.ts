import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startEngine } from './engine.ts';
import type { EngineVersion } from './nodes/object-info.ts';
import { type Call, route, routeControl } from './routes/routes.ts';
import { empty, type Reply, sendReply, serverError } from './wire/reply.ts';

export interface SandboxOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Mean milliseconds of a sampling step; default 150; 0 is as fast as possible. Encoding takes two steps, loading and decoding one. */
  readonly stepMs?: number;
  /** Milliseconds to load a diffusion model, of which one is in memory; default 0. */
  readonly modelLoadMs?: number;
  /** Default 0.8.0. `legacy` reports 0.3.40: no targeted interrupt, no `progress_state`, no previews with metadata. */
  readonly version?: EngineVersion;
  /** Serves POST /sandbox/faults and GET /sandbox/stats; default false. */
  readonly control?: boolean;
  /** Where input/, output/ and temp/ are; default a new temporary directory, removed on stop. */
  readonly dir?: string;
  /** Model files that are missing. */
  readonly missingModels?: readonly string[];
  /** Model files besides those of the workflows, by folder. */
  readonly moreModels?: Readonly<Record<string, readonly string[]>>;
  /** Node classes that are missing. */
  readonly missingNodes?: readonly string[];
  /** How many node classes there are besides, as node packs bring them: 1,000 make `/object_info` 3 MB; default 0. */
  readonly moreNodes?: number;
}

export interface Sandbox {
  readonly url: string;
  /** Stops the worker, closes all connections, and removes the directory if the sandbox created it. */
  stop(): Promise<void>;
}

/** Larger bodies are rejected with 413 (`--max-upload-size`). */
const MAX_BODY_BYTES = 104_857_600;
/** Default length of a simulated restart. */
const RESTART_MS = 300;
/** How long an idle connection is kept open (aiohttp's default). */
const KEEP_ALIVE_MS = 75_000;

/**
 * Starts a ComfyUI-compatible engine that runs no model, for trying and testing. The folders follow ComfyUI's code:
 * `routes/` and `wire/` are `server.py`, `validation/` and `execution/` are `execution.py` and `comfy_execution`,
 * `nodes/` is `nodes.py` and `comfy_extras`. Rejects when the address cannot be bound or the directory not created.
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const host = options.host ?? '127.0.0.1';
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'comfyui-sandbox-')));
  const connections = new Set<Socket>();
  const stopping = new AbortController();
  let crashed = false;
  let restarting: NodeJS.Timeout | undefined;

  const engine = await startEngine({
    version: options.version ?? '0.8.0',
    stepMs: options.stepMs ?? 150,
    modelLoadMs: options.modelLoadMs ?? 0,
    dir,
    removeDir: options.dir === undefined,
    missingModels: options.missingModels ?? [],
    missingNodes: options.missingNodes ?? [],
    moreModels: options.moreModels ?? {},
    moreNodes: options.moreNodes ?? 0,
    onCrash: () => restart(RESTART_MS, null),
  });

  /** Loses all state and closes connections for a while; `spared` is the connection that requested the restart. */
  function restart(milliseconds: number, spared: Socket | null): void {
    crash(spared);
    comeBackIn(milliseconds);
  }

  function crash(spared: Socket | null): void {
    crashed = true;
    clearTimeout(restarting);
    engine.crash();
    for (const socket of connections) if (socket !== spared) socket.destroy();
  }

  function comeBackIn(milliseconds: number): void {
    if (stopping.signal.aborted) return;
    clearTimeout(restarting);
    restarting = setTimeout(() => {
      crashed = false;
      engine.worker.resume();
    }, milliseconds);
  }

  function isDown(): boolean {
    return crashed || Date.now() < engine.faults.refuseHttpUntil;
  }

  /** Executes the fault `beforeRequest` if it concerns this request. */
  async function strikeBefore({ method, path }: Call): Promise<void> {
    const fault = engine.faults.beforeRequest;
    if (fault === null || fault.request !== `${method} ${path}`) return;
    engine.faults.beforeRequest = fault.times > 1 ? { ...fault, times: fault.times - 1 } : null;
    if (fault.restart) crash(null);
    // A slow disk may take longer than the restart: a request that came before all folders are empty would find files.
    for (const folder of fault.emptyFolders) await engine.files.empty(folder);
    if (fault.restart) comeBackIn(RESTART_MS);
  }

  async function replyTo(request: IncomingMessage): Promise<Reply> {
    if (isCrossOrigin(request)) return empty(403);
    const { call, isControl } = readCall(request);
    if (isControl && options.control === true) {
      return routeControl(engine, call, milliseconds => restart(milliseconds ?? RESTART_MS, request.socket));
    }
    if (isDown()) return { kind: 'cut' };
    await strikeBefore(call);
    const reply = await route(engine, call);
    const { slowHttp } = engine.faults;
    if (slowHttp > 0) await delay(slowHttp, undefined, { signal: stopping.signal });
    return isDown() ? { kind: 'cut' } : reply;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await sendReply(request, response, await replyTo(request));
    } catch (error) {
      if (response.headersSent || request.socket.destroyed) return void response.destroy();
      return sendReply(request, response, error instanceof BodyTooLarge ? bodyTooLarge() : serverError());
    }
  }

  const server = createServer((request, response) => void handle(request, response));
  server.on('connection', socket => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    const { call } = readCall(request);
    if (isDown() || isCrossOrigin(request) || call.path !== '/ws') return void socket.destroy();
    engine.hub.accept(request, socket, head, call.query.get('clientId') ?? '');
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  try {
    server.listen(options.port ?? 0, host);
    await once(server, 'listening');
  } catch (error) {
    await engine.stop();
    throw error;
  }

  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${portOf(server.address())}`,
    async stop() {
      clearTimeout(restarting);
      stopping.abort();
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      await engine.stop();
      for (const socket of connections) socket.destroy();
      await closed;
    },
  };
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Whether a page of another site sent the request: Host is a loopback name, and Origin differs from it in name, or in
 * port if both have one (`server.py`, create_origin_only_middleware).
 */
function isCrossOrigin({ headers }: IncomingMessage): boolean {
  const { host, origin } = headers;
  if (host === undefined || origin === undefined) return false;
  if (!URL.canParse(origin) || !URL.canParse(`http://${host}`)) return false;
  const target = new URL(`http://${host}`);
  const source = new URL(origin);
  if (!LOOPBACK.test(target.hostname)) return false;
  const otherPort = target.port !== '' && source.port !== '' && target.port !== source.port;
  return target.hostname !== source.hostname || otherPort;
}

class BodyTooLarge extends Error {}

function bodyTooLarge(): Reply {
  return { kind: 'text', status: 413, text: `Maximum request body size ${MAX_BODY_BYTES} exceeded.` };
}

function readCall(request: IncomingMessage): { call: Call; isControl: boolean } {
  const url = new URL(request.url ?? '/', 'http://engine.invalid');
  const call = {
    method: request.method ?? 'GET',
    path: url.pathname.startsWith('/api/') ? url.pathname.slice('/api'.length) : url.pathname,
    query: url.searchParams,
    contentType: request.headers['content-type'] ?? '',
    body: () => readBytes(request),
  };
  return { call, isControl: url.pathname.startsWith('/sandbox/') };
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes: Buffer = chunk;
    size += bytes.byteLength;
    if (size > MAX_BODY_BYTES) throw new BodyTooLarge();
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
