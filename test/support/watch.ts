import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

/** What the tests look at in a snapshot. */
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

/** Every snapshot that a watcher gets over graphql-transport-ws until the stream completes. */
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

/** The same over server-sent events (the distinct connections mode of the GraphQL over SSE protocol). */
export async function watchOverSse(url: string, jobId: string, see: See = () => {}): Promise<Snapshot[]> {
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ query: WATCH, variables: { jobId } }),
  });
  if (!answer.ok || answer.body === null) throw new Error(`answered ${answer.status}`);
  const snapshots: Snapshot[] = [];
  let rest = '';
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block)?.[1];
      if (event === 'complete') return snapshots;
      if (event !== 'next') continue;
      const { data, errors } = JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '{}');
      if (data == null) throw new Error(JSON.stringify(errors));
      snapshots.push(data.jobProgress);
      await see(data.jobProgress);
    }
  }
  throw new Error('the stream ended without `complete`');
}
