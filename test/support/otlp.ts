import { createServer, type IncomingHttpHeaders } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { listen } from './servers.ts';
import { until } from './watch.ts';

/** A span as a collector gets it. Times are milliseconds since 1970. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first one of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** 0 unset, 2 error. */
  readonly status: number;
  /** The attributes of the gateway that sent it. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

/** A collector that takes OTLP over HTTP with protobuf. */
export interface OtlpReceiver {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Of each request. */
  readonly headers: readonly IncomingHttpHeaders[];
  /** Resolves with the spans of a trace once one of this name is among them. */
  trace(traceId: string, name: string): Promise<readonly ReceivedSpan[]>;
  close(): Promise<void>;
}

/** Listens on a free port of loopback. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    const body = Buffer.concat(chunks);
    headers.push(request.headers);
    if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/x-protobuf') {
      response.writeHead(400).end();
      return;
    }
    spans.push(...readRequest(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body));
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  const url = `http://127.0.0.1:${await listen(server)}`;
  return {
    url,
    spans,
    headers,
    async trace(traceId, name) {
      const found = () => spans.filter(span => span.traceId === traceId);
      await until(() => found().some(span => span.name === name));
      return found();
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

/** A message of protobuf: the values of each field, in order (https://protobuf.dev/programming-guides/encoding/). */
type Message = ReadonlyMap<number, readonly (bigint | Buffer)[]>;

function readMessage(bytes: Buffer): Message {
  const fields = new Map<number, (bigint | Buffer)[]>();
  let at = 0;
  const take = (length: number): Buffer => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = take(1)[0] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const value = read(tag & 7);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;

  function read(wireType: number): bigint | Buffer {
    switch (wireType) {
      case 0:
        return varint();
      case 1:
        return take(8);
      case 2:
        return take(Number(varint()));
      case 5:
        return take(4);
      default:
        throw new Error(`Protobuf has no wire type ${wireType}`);
    }
  }
}

const bytesOf = (message: Message, field: number): Buffer[] =>
  (message.get(field) ?? []).filter(value => Buffer.isBuffer(value));
const messages = (message: Message, field: number): Message[] => bytesOf(message, field).map(readMessage);
const text = (message: Message, field: number): string => bytesOf(message, field)[0]?.toString() ?? '';
const hex = (message: Message, field: number): string => bytesOf(message, field)[0]?.toString('hex') ?? '';
const number = (message: Message, field: number): number => Number(message.get(field)?.[0] ?? 0);
const time = (message: Message, field: number): number =>
  Number(bytesOf(message, field)[0]?.readBigUInt64LE() ?? 0n) / 1e6;

/** The numbers of the fields are those of opentelemetry/proto/collector/trace/v1 and trace/v1. */
function readRequest(body: Buffer): ReceivedSpan[] {
  return messages(readMessage(body), 1).flatMap(resourceSpans => {
    const [resource] = messages(resourceSpans, 1);
    const about = resource === undefined ? {} : attributesOf(resource, 1);
    return messages(resourceSpans, 2).flatMap(scope =>
      messages(scope, 2).map(span => ({ ...readSpan(span), resource: about })),
    );
  });
}

function readSpan(span: Message): Omit<ReceivedSpan, 'resource'> {
  const [status] = messages(span, 15);
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentSpanId: hex(span, 4),
    name: text(span, 5),
    kind: number(span, 6),
    startedAt: time(span, 7),
    endedAt: time(span, 8),
    attributes: attributesOf(span, 9),
    status: status === undefined ? 0 : number(status, 3),
  };
}

function attributesOf(message: Message, field: number): Record<string, string | number | boolean> {
  return Object.fromEntries(
    messages(message, field).map(pair => {
      const [value] = messages(pair, 2);
      return [text(pair, 1), value === undefined ? '' : attributeOf(value)];
    }),
  );
}

function attributeOf(value: Message): string | number | boolean {
  if (value.has(1)) return text(value, 1);
  if (value.has(2)) return number(value, 2) === 1;
  if (value.has(3)) return number(value, 3);
  return bytesOf(value, 4)[0]?.readDoubleLE() ?? 0;
}
