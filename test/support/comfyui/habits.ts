import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { z } from 'zod';
import { passedOn } from '../proxies.ts';
import { listen } from '../servers.ts';

/** What a proxy in front of an engine, or an engine of another age, does differently. All are off at the start. */
export interface Habits {
  /** Requests that are answered with this status instead, by method and path; `times` of them, or for ever. */
  answers: { method?: string; path: RegExp; status: number; times?: number }[];
  /** How a request for a WebSocket ends; null: it passes. */
  webSockets: null | { status: number } | 'reset' | 'silence';
  /** The prompts get ids of the engine's own: `prompt_id` is not passed on. */
  ownPromptIds: boolean;
  /** The history is empty for everyone. */
  emptyHistory: boolean;
  /** The connection ends when the answer to POST /prompt has come, and before it is passed on; so many times. */
  losePromptAnswers: number;
  /** POST /prompt is answered with 502 although the engine took the prompt; so many times. */
  spoilPromptAnswers: number;
  /** The answer to POST /prompt never comes; so many times. */
  holdPromptAnswers: number;
}

/** A proxy with habits. */
export interface HabitProxy {
  readonly url: string;
  /** Changes some habits; the others stay. */
  adopt(habits: Partial<Habits>): void;
  /** The requests that came, as `METHOD /path`, without query. */
  readonly requests: readonly string[];
  /** Ids of the answers to POST /prompt. */
  readonly promptIds: readonly string[];
  /** Breaks every WebSocket that passes through. */
  cutSockets(): void;
  stop(): Promise<void>;
}

const promptAnswer = z.object({ prompt_id: z.string() });
const promptBody = z.record(z.string(), z.unknown());

/** Starts a proxy that passes HTTP and WebSockets on to `target`, an `http://host:port`, except where it has a habit. */
export async function startHabitProxy(target: string, initial: Partial<Habits> = {}): Promise<HabitProxy> {
  const { hostname, port } = new URL(target);
  const habits: Habits = {
    answers: [],
    webSockets: null,
    ownPromptIds: false,
    emptyHistory: false,
    losePromptAnswers: 0,
    spoilPromptAnswers: 0,
    holdPromptAnswers: 0,
    ...initial,
  };
  const requests: string[] = [];
  const promptIds: string[] = [];
  const sockets = new Set<Socket>();

  /** The status that a request is answered with instead of being passed on. */
  function ownAnswer(method: string, path: string): number | null {
    const found = habits.answers.find(
      answer =>
        (answer.method ?? method) === method && answer.path.test(path) && (answer.times ?? Infinity) > 0,
    );
    if (found === undefined) return null;
    if (found.times !== undefined) found.times -= 1;
    return found.status;
  }

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = request;
    const path = new URL(url, target).pathname;
    requests.push(`${method} ${path}`);
    let body = await buffer(request);
    const status = ownAnswer(method, path);
    if (status !== null) return void response.writeHead(status, { 'content-type': 'text/html' }).end('no');
    if (habits.emptyHistory && method === 'GET' && path.startsWith('/history')) {
      return void response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    }
    const isPrompt = method === 'POST' && path === '/prompt';
    if (isPrompt && habits.ownPromptIds) {
      const { prompt_id: _, ...rest } = promptBody.parse(JSON.parse(body.toString()));
      body = Buffer.from(JSON.stringify(rest));
    }
    const { 'transfer-encoding': _, ...rest } = headers;
    const onward = send(
      { hostname, port, method, path: url, headers: { ...rest, 'content-length': body.length } },
      answer => {
        if (isPrompt) {
          void buffer(answer).then(bytes => {
            const parsed = promptAnswer.safeParse(JSON.parse(bytes.toString()));
            if (parsed.success) promptIds.push(parsed.data.prompt_id);
            if (habits.holdPromptAnswers > 0) {
              habits.holdPromptAnswers -= 1;
            } else if (habits.spoilPromptAnswers > 0) {
              habits.spoilPromptAnswers -= 1;
              response.writeHead(502).end();
            } else if (habits.losePromptAnswers > 0) {
              habits.losePromptAnswers -= 1;
              response.destroy();
            } else {
              response.writeHead(answer.statusCode ?? 502, passedOn(answer.headers)).end(bytes);
            }
          });
          return;
        }
        response.writeHead(answer.statusCode ?? 502, passedOn(answer.headers));
        answer.once('error', () => response.destroy()).pipe(response);
      },
    );
    onward.once('error', () => response.destroy());
    onward.end(body);
  }

  const server = createServer((request, response) => {
    pass(request, response).catch(() => response.destroy());
  });
  server.on('upgrade', (request, stream, head) => {
    const socket = stream as Socket;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    if (habits.webSockets === 'silence') return;
    if (habits.webSockets === 'reset') return void socket.resetAndDestroy();
    if (habits.webSockets !== null) {
      return void socket.end(`HTTP/1.1 ${habits.webSockets.status} No\r\ncontent-length: 0\r\n\r\n`);
    }
    const onward = connect(Number(port), hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      }
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy()).once('close', () => socket.destroy());
    socket.once('close', () => onward.destroy());
  });
  const own = await listen(server);
  return {
    url: `http://127.0.0.1:${own}`,
    adopt(changed) {
      Object.assign(habits, changed);
    },
    requests,
    promptIds,
    cutSockets() {
      for (const socket of sockets) socket.destroy();
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
