import { WebSocket } from 'ws';
import { type EngineEvent, readBinaryFrame, readTextFrame } from './events.ts';
import { EngineUnreachable } from './unreachable.ts';

/** Frames larger than this are not previews: the connection is closed. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;
const HANDSHAKE_MS = 10_000;
/** An answer to the flags that takes longer is not waited for: a hint may be lost, the run is not. */
const FEATURES_MS = 2_000;

export interface EngineSocket {
  /** Resolves when the server's side has ended too, or was cut off after a second. */
  close(): Promise<void>;
}

export interface EngineSocketOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the engine answers feature flags; one that does not is not waited for. */
  readonly answersFlags: boolean;
  /** Called with each event, in order. Must not block: a client that stops reading freezes ComfyUI for all. */
  onEvent(event: EngineEvent): void;
  /** Called once, when a socket that had opened ends by itself. */
  onClose(): void;
}

/**
 * Opens a socket, says as its very first message that previews may carry their prompt's id, and waits for the
 * answer, so that no event of a prompt submitted afterwards can come without it (`server.py`, feature flags).
 * Rejects with EngineUnreachable.
 */
export function openEngineSocket(options: EngineSocketOptions): Promise<EngineSocket> {
  const socket = new WebSocket(options.url, {
    headers: options.headers,
    handshakeTimeout: HANDSHAKE_MS,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
  });
  return new Promise((resolve, reject) => {
    let settled = false;
    let closing = false;
    let reason = 'it closed before it was ready';
    let patience: NodeJS.Timeout | undefined;

    function ready(): void {
      if (settled) return;
      settled = true;
      clearTimeout(patience);
      resolve({ close });
    }

    async function close(): Promise<void> {
      closing = true;
      if (socket.readyState === WebSocket.CLOSED) return;
      await new Promise<void>(done => {
        const impatience = setTimeout(() => socket.terminate(), 1_000);
        socket.once('close', () => {
          clearTimeout(impatience);
          done();
        });
        socket.close();
      });
    }

    socket.on('open', () => {
      socket.send(JSON.stringify({ type: 'feature_flags', data: { supports_preview_metadata: true } }));
      if (options.answersFlags) patience = setTimeout(ready, FEATURES_MS);
      else ready();
    });
    socket.on('message', (data, isBinary) => {
      const bytes = toBytes(data);
      const event = isBinary ? readBinaryFrame(bytes) : readTextFrame(new TextDecoder().decode(bytes));
      if (event === null) return;
      if (event.type === 'features') ready();
      options.onEvent(event);
    });
    // 'close' always follows 'error'.
    socket.on('error', error => {
      reason = error.message;
    });
    socket.on('close', () => {
      clearTimeout(patience);
      if (!settled) {
        settled = true;
        reject(new EngineUnreachable(`the engine's socket did not open: ${reason}`));
      } else if (!closing) {
        options.onClose();
      }
    });
  });
}

function toBytes(data: Buffer | ArrayBuffer | Buffer[]): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
