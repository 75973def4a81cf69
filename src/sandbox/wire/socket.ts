import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Faults, losesEvent } from '../faults.ts';
import { isObject, type JsonObject, toJson } from './json.ts';
import { plainPreview, previewWithMetadata } from './previews.ts';

/** What a socket must be told when it connects. */
export interface Greeting {
  readonly queueRemaining: number;
  /** The node at work, if this id owns the running prompt. */
  readonly node: string | null;
}

export interface SocketHub {
  /** Takes over a connection that asked to be upgraded. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, clientId: string): void;
  /** Sends an event to the socket of this id, or to all when it is null. Lost when that id is not connected. */
  send(type: string, data: JsonObject, clientId: string | null): void;
  /** Whether this id's socket asked for previews that name their prompt. */
  wantsMetadata(clientId: string | null): boolean;
  /** Sends a JPEG as a preview frame, of the kind that the receiver asked for. */
  preview(jpeg: Uint8Array, promptId: string, nodeId: string, clientId: string | null): void;
  /** Cuts every socket without a close frame. */
  dropAll(): void;
  /** The ids that a socket is known under. */
  ids(): string[];
  /** The open sockets stay open but are known under no id any more. */
  deafenAll(): void;
}

interface Member {
  readonly socket: WebSocket;
  metadata: boolean;
}

export interface SocketHubOptions {
  readonly faults: Faults;
  /** The answer to a client's feature flags; null for an engine that knows none. */
  readonly features: JsonObject | null;
  greet(clientId: string): Greeting;
}

/**
 * The sockets, with ComfyUI's manners (`server.py`, websocket_handler): one socket an id, a later one replaces the
 * earlier, which stays open and hears nothing; and when the earlier one ends, its clean-up removes the id, so that
 * the later one goes deaf.
 */
export function createSocketHub({ faults, features, greet }: SocketHubOptions): SocketHub {
  const server = new WebSocketServer({ noServer: true, maxPayload: 100 * 1024 * 1024 });
  const table = new Map<string, Member>();

  function deliver(socket: WebSocket, type: string, data: JsonObject): void {
    const name = type === 'executing' && data.node === null ? 'executing_null' : type;
    if (socket.readyState !== socket.OPEN || losesEvent(faults, name)) return;
    socket.send(toJson({ type, data }));
  }

  function receivers(clientId: string | null): Member[] {
    if (clientId === null) return [...table.values()];
    const member = table.get(clientId);
    return member ? [member] : [];
  }

  function join(socket: WebSocket, asked: string): void {
    const id = asked === '' ? randomUUID().replaceAll('-', '') : asked;
    const member: Member = { socket, metadata: false };
    table.set(id, member);
    const greeting = greet(id);
    const status = { exec_info: { queue_remaining: greeting.queueRemaining } };
    deliver(socket, 'status', { status, sid: id });
    // Without the prompt's id: ComfyUI does not repeat it here.
    if (greeting.node !== null) deliver(socket, 'executing', { node: greeting.node });

    let first = true;
    socket.on('message', (raw, isBinary) => {
      if (isBinary || !first) return;
      const message = readMessage(raw.toString());
      if (message === null) return;
      first = false;
      if (message.type !== 'feature_flags' || features === null) return;
      member.metadata = isObject(message.data) && message.data.supports_preview_metadata === true;
      deliver(socket, 'feature_flags', features);
    });
    // The 'close' that follows does the work; ws ends the process if nobody listens to 'error'.
    socket.on('error', () => socket.terminate());
    socket.on('close', () => table.delete(id));
  }

  return {
    accept(request, socket, head, clientId) {
      server.handleUpgrade(request, socket, head, webSocket => join(webSocket, clientId));
    },
    send(type, data, clientId) {
      for (const { socket } of receivers(clientId)) deliver(socket, type, data);
    },
    wantsMetadata: clientId => clientId !== null && table.get(clientId)?.metadata === true,
    preview(jpeg, promptId, nodeId, clientId) {
      for (const { socket, metadata } of receivers(clientId)) {
        if (socket.readyState !== socket.OPEN || losesEvent(faults, 'preview')) continue;
        const named = clientId !== null && metadata;
        socket.send(named ? previewWithMetadata(jpeg, promptId, nodeId) : plainPreview(jpeg));
      }
    },
    dropAll() {
      for (const socket of server.clients) socket.terminate();
    },
    ids: () => [...table.keys()],
    deafenAll: () => table.clear(),
  };
}

/** A JSON object that a client sent; null for anything else, which ComfyUI overlooks. */
function readMessage(text: string): JsonObject | null {
  try {
    const message: unknown = JSON.parse(text);
    return isObject(message) ? message : null;
  } catch {
    // Not JSON: it does not even use up the client's first message.
    return null;
  }
}
