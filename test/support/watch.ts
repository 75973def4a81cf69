import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

/** The fields of a snapshot that the tests read. */
export interface Snapshot {
  status: string;
  revision: number;
  progress: number;
  stage: string | null;
  step: number | null;
  totalSteps: number | null;
  queuePosition: number | null;
  attempt: number;
  size: { width: number; height: number } | null;
  preview: { url: string; mimeType: string; dataUri: string | null } | null;
  images: { url: string; width: number; height: number; bytes: number; mimeType: string }[];
  error: { code: string; message: string } | null;
}

const WATCH = `subscription ($jobId: ID!) {
  jobProgress(jobId: $jobId) {
    status revision progress stage step totalSteps queuePosition attempt
    size { width height }
    preview { url mimeType dataUri }
    images { url width height bytes mimeType }
    error { code message }
  }
}`;

type See = (snapshot: Snapshot) => void | Promise<void>;

/** Collects every snapshot of a watcher over graphql-transport-ws until the stream completes. */
export async function watchOverWebSocket(
  url: string,
  jobId: string,
  see: See = () => {},
): Promise<Snapshot[]> {
  const client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
  });
  try {
    const snapshots: Snapshot[] = [];
    const results = client.iterate<{ jobProgress: Snapshot }>({ query: WATCH, variables: { jobId } });
    for await (const { data, errors } of results) {
      if (data == null) throw new Error(JSON.stringify(errors));
      snapshots.push(data.jobProgress);
      await see(data.jobProgress);
    }
    return snapshots;
  } finally {
    await client.dispose();
  }
}

/** One server-sent event. */
interface ServerSentEvent {
  readonly event: string | null;
  readonly data: string | null;
}

/** The events of a stream as they arrive, until it ends. Throws when it breaks. */
async function* serverSentEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerSentEvent, void> {
  let rest = '';
  for await (const text of chunks) {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1] ?? null;
      yield { event, data: /^data: (.+)$/m.exec(block)?.[1] ?? null };
    }
  }
}

/** Collects the same over server-sent events (the distinct connections mode of the GraphQL over SSE protocol). */
export async function watchOverSse(url: string, jobId: string, see: See = () => {}): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for await (const snapshot of snapshotsOverSse(url, jobId)) {
    snapshots.push(snapshot);
    await see(snapshot);
  }
  return snapshots;
}

async function* snapshotsOverSse(url: string, jobId: string): AsyncGenerator<Snapshot, void> {
  const leave = new AbortController();
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ query: WATCH, variables: { jobId } }),
    signal: leave.signal,
  });
  if (!answer.ok || answer.body === null) throw new Error(`answered ${answer.status}`);
  try {
    for await (const { event, data } of serverSentEvents(answer.body.pipeThrough(new TextDecoderStream()))) {
      if (event === 'complete') return;
      if (event !== 'next') continue;
      const result = JSON.parse(data ?? '{}');
      if (result.data == null) throw new Error(JSON.stringify(result.errors));
      yield result.data.jobProgress;
    }
  } finally {
    leave.abort();
  }
  throw new Error('the stream ended without `complete`');
}

/** Watches a job until a snapshot is as wanted. Rejects when the job ends without one. */
export async function waitUntil(
  url: string,
  jobId: string,
  wanted: (job: Snapshot) => boolean,
): Promise<Snapshot> {
  for await (const snapshot of snapshotsOverSse(url, jobId)) {
    if (wanted(snapshot)) return snapshot;
  }
  throw new Error(`Job ${jobId} ended otherwise`);
}

/** Watches a job until it ends. */
export async function waitForEnd(url: string, jobId: string): Promise<Snapshot> {
  return waitUntil(url, jobId, ({ status }) => status !== 'QUEUED' && status !== 'PROCESSING');
}

/** A stream of server-sent events, read one by one. */
export interface EventReader {
  readonly status: number;
  /** The data of the next event that has data, parsed as JSON; null once the stream is over, however it ended. */
  next(): Promise<unknown>;
  leave(): void;
}

/** Opens a stream: by GET, or by POST with a body. Sends no headers but the given ones and the body's. */
export async function openEvents(
  url: string,
  headers: Record<string, string>,
  body?: object,
): Promise<EventReader> {
  const sending = request(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
  });
  // The end of the stream tells of an aborted connection.
  sending.on('error', () => {});
  sending.end(body === undefined ? '' : JSON.stringify(body));
  const [response]: IncomingMessage[] = await once(sending, 'response');
  if (response === undefined) throw new Error('no answer');
  const events = dataOf(response);
  return {
    status: response.statusCode ?? 0,
    next: async () => (await events.next()).value ?? null,
    leave: () => sending.destroy(),
  };
}

async function* dataOf(response: IncomingMessage): AsyncGenerator<unknown, void> {
  try {
    for await (const { data } of serverSentEvents(response.setEncoding('utf8'))) {
      if (data !== null) yield JSON.parse(data);
    }
  } catch {
    // The connection was aborted.
  }
}

/** Polls every 5 to 25 ms until the condition holds. Rejects after `ms`. */
export async function until(condition: () => boolean | Promise<boolean>, ms = 30_000): Promise<void> {
  await eventually(async () => condition(), Boolean, ms);
}

/** Polls every 5 to 25 ms until the result fits, and gives it: at first often, then so that others get to work. Rejects after `ms`. */
export async function eventually<T>(
  read: () => Promise<T>,
  fits: (result: T) => boolean,
  ms = 30_000,
): Promise<T> {
  const deadline = Date.now() + ms;
  for (let polls = 0; ; polls += 1) {
    const result = await read();
    if (fits(result)) return result;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(result)} after ${ms} ms`);
    await new Promise(resolve => setTimeout(resolve, Math.min(25, 5 + polls)));
  }
}
