import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Faults, losesEvent } from '../faults.ts';
import { isObject, type JsonObject, toJson } from './json.ts';

/** What a socket receives when it connects. */
export interface Greeting {
  readonly queueRemaining: number;
  /** The node being executed, if the running prompt belongs to this client id. */
  readonly node: string | null;
}

export interface SocketHub {
  /** Completes the WebSocket handshake of an upgrade request. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, clientId: string): void;
  /** Sends an event to the socket of this client id, or to all when it is null. Dropped when that id is not connected. */
  send(type: string, data: JsonObject, clientId: string | null): void;
  /** Sends `status` with the queue's length to all sockets. */
  sendStatus(queueRemaining: number): void;
  /** Whether this client's feature flags include previews with metadata. */
  wantsMetadata(clientId: string | null): boolean;
  /** Sends a JPEG as a preview frame of the kind that the client supports. */
  preview(jpeg: Uint8Array, promptId: string, nodeId: string, clientId: string | null): void;
  /** Closes every socket without a close frame. */
  dropAll(): void;
  /** The client ids that have a socket. */
  ids(): string[];
  /** Forgets every client id; the sockets stay open and receive nothing more. */
  deafenAll(): void;
}

interface Client {
  readonly socket: WebSocket;
  metadata: boolean;
}

export interface SocketHubOptions {
  readonly faults: Faults;
  /** The server's feature flags; null for a version without them. */
  readonly features: JsonObject | null;
  greet(clientId: string): Greeting;
}

/**
 * The `/ws` endpoint (`server.py`, websocket_handler). As in ComfyUI there is one socket per client id: a second one
 * replaces the first, which stays open but receives nothing; and when the first closes, its clean-up removes the id,
 * so the second receives nothing from then on.
 */
export function createSocketHub({ faults, features, greet }: SocketHubOptions): SocketHub {
  const server = new WebSocketServer({ noServer: true, maxPayload: 100 * 1024 * 1024 });
  const clients = new Map<string, Client>();

  function deliver(socket: WebSocket, type: string, data: JsonObject): void {
    const name = type === 'executing' && data.node === null ? 'executing_null' : type;
    if (socket.readyState !== socket.OPEN || losesEvent(faults, name)) return;
    socket.send(toJson({ type, data }));
  }

  function receivers(clientId: string | null): Client[] {
    if (clientId === null) return [...clients.values()];
    const client = clients.get(clientId);
    return client ? [client] : [];
  }

  function join(socket: WebSocket, requestedId: string): void {
    const id = requestedId === '' ? randomUUID().replaceAll('-', '') : requestedId;
    const client: Client = { socket, metadata: false };
    clients.set(id, client);
    const { queueRemaining, node } = greet(id);
    deliver(socket, 'status', { status: { exec_info: { queue_remaining: queueRemaining } }, sid: id });
    // Unlike later `executing` events, ComfyUI sends this one without the prompt id.
    if (node !== null) deliver(socket, 'executing', { node });

    let first = true;
    socket.on('message', (raw, isBinary) => {
      if (isBinary || !first) return;
      const message = readMessage(raw.toString());
      if (message === null) return;
      first = false;
      if (message.type !== 'feature_flags' || features === null) return;
      client.metadata = isObject(message.data) && message.data.supports_preview_metadata === true;
      deliver(socket, 'feature_flags', features);
    });
    // An 'error' event without a listener would end the process; 'close' follows and cleans up.
    socket.on('error', () => socket.terminate());
    socket.on('close', () => clients.delete(id));
  }

  function send(type: string, data: JsonObject, clientId: string | null): void {
    for (const { socket } of receivers(clientId)) deliver(socket, type, data);
  }

  return {
    accept(request, socket, head, clientId) {
      server.handleUpgrade(request, socket, head, webSocket => join(webSocket, clientId));
    },
    send,
    sendStatus(queueRemaining) {
      send('status', { status: { exec_info: { queue_remaining: queueRemaining } } }, null);
    },
    wantsMetadata: clientId => clientId !== null && clients.get(clientId)?.metadata === true,
    preview(jpeg, promptId, nodeId, clientId) {
      for (const { socket, metadata } of receivers(clientId)) {
        if (socket.readyState !== socket.OPEN || losesEvent(faults, 'preview')) continue;
        const withMetadata = clientId !== null && metadata;
        socket.send(withMetadata ? previewWithMetadata(jpeg, promptId, nodeId) : plainPreview(jpeg));
      }
    },
    dropAll() {
      for (const socket of server.clients) socket.terminate();
    },
    ids: () => [...clients.keys()],
    deafenAll: () => clients.clear(),
  };
}

/** A JSON object sent by a client; null for anything else, which ComfyUI ignores. */
function readMessage(text: string): JsonObject | null {
  try {
    const message: unknown = JSON.parse(text);
    return isObject(message) ? message : null;
  } catch {
    // Not JSON: it does not count as the client's first message.
    return null;
  }
}

// Binary frames begin with two uint32, big-endian: the kind, and a field that depends on it (`protocol.py`, `server.py`).
const PREVIEW = 1;
const PREVIEW_WITH_METADATA = 4;
const JPEG = 1;

function uint32Pair(first: number, second: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(first, 0);
  head.writeUInt32BE(second, 4);
  return head;
}

/** Kind 1: the image format, the image. */
function plainPreview(jpeg: Uint8Array): Buffer {
  return Buffer.concat([uint32Pair(PREVIEW, JPEG), jpeg]);
}

/** Kind 4: the length of the metadata, the metadata as JSON, the image. */
function previewWithMetadata(jpeg: Uint8Array, promptId: string, nodeId: string): Buffer {
  const metadata = Buffer.from(
    JSON.stringify({
      node_id: nodeId,
      prompt_id: promptId,
      display_node_id: nodeId,
      parent_node_id: null,
      real_node_id: nodeId,
      image_type: 'image/jpeg',
    }),
  );
  return Buffer.concat([uint32Pair(PREVIEW_WITH_METADATA, metadata.byteLength), metadata, jpeg]);
}
