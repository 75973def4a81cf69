import { WebSocket } from 'ws';
import type { EngineTls } from './credentials.ts';
import { type EngineEvent, readBinaryFrame, readTextFrame } from './events.ts';
import { EngineUnreachable, reasonOf } from './unreachable.ts';

/** Frames larger than this are not previews: the connection is closed. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
const HANDSHAKE_MS = 10_000;
/** How long to wait for the answer to our feature flags: without it events may be lost, but not the run. */
const FEATURES_MS = 2_000;

export interface EngineSocket {
  /** Resolves when the engine has closed it too, or after a second, when it is terminated. */
  close(): Promise<void>;
}

export interface EngineSocketOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: EngineTls;
  /** Whether the engine answers feature flags, so that the answer is awaited. */
  readonly answersFlags: boolean;
  /** Called with each event, in order. Must not block: a client that stops reading blocks ComfyUI's events for all. */
  onEvent(event: EngineEvent): void;
  /** Called once when an open socket closes, unless `close` closed it. */
  onClose(): void;
  /** Its abort ends the opening. */
  readonly signal?: AbortSignal;
}

/**
 * Opens a socket, declares as its first message that previews may carry the id of their prompt, and waits for the answer,
 * so that it holds for every event of a prompt that is submitted afterwards (`server.py`, feature flags).
 * Rejects with EngineUnreachable.
 */
export function openEngineSocket(options: EngineSocketOptions): Promise<EngineSocket> {
  const socket = new WebSocket(options.url, {
    ...options.tls,
    headers: options.headers,
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    // Each event in a turn of its own: a step is committed before the preview that came with it is parsed.
    allowSynchronousEvents: false,
  });
  return new Promise((resolve, reject) => {
    let settled = false;
    let closing = false;
    let reason = 'it closed before it was ready';
    let flagsTimer: NodeJS.Timeout | undefined;
    const abort = (): void => socket.terminate();
    options.signal?.addEventListener('abort', abort);
    if (options.signal?.aborted) abort();

    function ready(): void {
      if (settled) return;
      settled = true;
      clearTimeout(flagsTimer);
      options.signal?.removeEventListener('abort', abort);
      resolve({ close });
    }

    async function close(): Promise<void> {
      closing = true;
      if (socket.readyState === WebSocket.CLOSED) return;
      await new Promise<void>(done => {
        const terminateTimer = setTimeout(() => socket.terminate(), 1_000);
        socket.once('close', () => {
          clearTimeout(terminateTimer);
          done();
        });
        socket.close();
      });
    }

    socket.on('open', () => {
      socket.send(JSON.stringify({ type: 'feature_flags', data: { supports_preview_metadata: true } }));
      if (options.answersFlags) flagsTimer = setTimeout(ready, FEATURES_MS);
      else ready();
    });
    socket.on('message', (data, isBinary) => {
      const bytes = toBytes(data);
      const event = isBinary ? readBinaryFrame(bytes) : readTextFrame(bytes.toString('utf8'));
      if (event === null) return;
      if (event.type === 'features') ready();
      options.onEvent(event);
    });
    // 'close' always follows 'error'.
    socket.on('error', error => {
      reason = reasonOf(error);
    });
    socket.on('close', () => {
      clearTimeout(flagsTimer);
      options.signal?.removeEventListener('abort', abort);
      if (!settled) {
        settled = true;
        reject(new EngineUnreachable(`its WebSocket does not open: ${reason}`));
      } else if (!closing) {
        options.onClose();
      }
    });
  });
}

function toBytes(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? Buffer.from(data) : data;
}
