import { mkdtemp } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startEngine } from './engine.ts';
import type { EngineVersion } from './nodes/object-info.ts';
import { isForeign } from './origin.ts';
import { answerControl } from './routes/control.ts';
import { type Call, route } from './routes/routes.ts';
import { type Answer, empty, sendAnswer, serverError } from './wire/reply.ts';

export interface SandboxOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Mean milliseconds of a sampling step; default 150; 0 is as fast as possible. Encoding takes two, loading and decoding one. */
  readonly stepMs?: number;
  /** Default 0.8.0. `legacy` says 0.3.40: no targeted interrupt, no `progress_state`, no previews with metadata. */
  readonly version?: EngineVersion;
  /** Serves POST /sandbox/faults and GET /sandbox/stats; default false. */
  readonly control?: boolean;
  /** Where input/, output/ and temp/ are; default a fresh directory that is removed at the end. */
  readonly dir?: string;
  /** Model files that this engine lacks. */
  readonly missingModels?: readonly string[];
  /** Node classes that this engine lacks. */
  readonly missingNodes?: readonly string[];
}

export interface Sandbox {
  readonly url: string;
  /** Ends everything: sockets, connections, what runs, and the directory if it was made here. */
  stop(): Promise<void>;
}

/** Bodies larger than this are refused with 413 (`--max-upload-size`). */
const MAX_BODY_BYTES = 104_857_600;
/** How long a restart takes when nobody says. */
const RESTART_MS = 300;
/** How long an idle connection is kept (aiohttp's default). */
const KEEP_ALIVE_MS = 75_000;

/**
 * Starts a ComfyUI-compatible engine that runs no model: a try-out and test engine. Rejects when the address cannot
 * be bound or the directory cannot be made.
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const host = options.host ?? '127.0.0.1';
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'comfyui-sandbox-')));
  const connections = new Set<Socket>();
  const ending = new AbortController();
  let restarting: NodeJS.Timeout | undefined;

  const engine = await startEngine({
    version: options.version ?? '0.8.0',
    stepMs: options.stepMs ?? 150,
    dir,
    removeDir: options.dir === undefined,
    missingModels: options.missingModels ?? [],
    missingNodes: options.missingNodes ?? [],
    onCrash: () => restart(RESTART_MS, null),
  });

  /** Forgets everything and refuses connections for a while; `spared` is the connection that asked for it. */
  function restart(milliseconds: number, spared: Socket | null): void {
    engine.crash();
    for (const socket of connections) if (socket !== spared) socket.destroy();
    clearTimeout(restarting);
    restarting = setTimeout(() => {
      restarting = undefined;
      engine.worker.resume();
    }, milliseconds);
  }

  function isAway(): boolean {
    return restarting !== undefined || Date.now() < engine.faults.refuseHttpUntil;
  }

  async function answer(request: IncomingMessage): Promise<Answer> {
    if (isForeign(request)) return empty(403);
    const { call, isControl } = readCall(request);
    if (isControl && options.control === true) {
      return answerControl(engine, call, milliseconds => restart(milliseconds ?? RESTART_MS, request.socket));
    }
    if (isAway()) return { kind: 'cut' };
    const result = await route(engine, call);
    if (engine.faults.slowHttp > 0) await delay(engine.faults.slowHttp, undefined, { signal: ending.signal });
    return isAway() ? { kind: 'cut' } : result;
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await sendAnswer(request, response, await answer(request));
    } catch (error) {
      if (response.headersSent || request.socket.destroyed) return void response.destroy();
      if (error instanceof BodyTooLarge) return sendAnswer(request, response, tooLarge());
      return sendAnswer(request, response, serverError());
    }
  }

  const server = createServer((request, response) => void handle(request, response));
  server.on('connection', socket => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    const { call } = readCall(request);
    if (isAway() || isForeign(request) || call.path !== '/ws') return void socket.destroy();
    engine.hub.accept(request, socket, head, call.query.get('clientId') ?? '');
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port ?? 0, host, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
  } catch (error) {
    await engine.stop();
    throw error;
  }

  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${portOf(server.address())}`,
    async stop() {
      clearTimeout(restarting);
      ending.abort();
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      await engine.stop();
      for (const socket of connections) socket.destroy();
      await closed;
    },
  };
}

class BodyTooLarge extends Error {}

function tooLarge(): Answer {
  return { kind: 'text', status: 413, text: `Maximum request body size ${MAX_BODY_BYTES} exceeded.` };
}

function readCall(request: IncomingMessage): { call: Call; isControl: boolean } {
  const url = new URL(request.url ?? '/', 'http://engine.invalid');
  const path = url.pathname.startsWith('/api/') ? url.pathname.slice('/api'.length) : url.pathname;
  const call = {
    method: request.method ?? 'GET',
    path,
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
