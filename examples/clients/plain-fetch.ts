import { setTimeout as sleep } from 'node:timers/promises';
import { type Example, fetchBytes, type Progress, runExample } from './run.ts';

const EDIT = `mutation ($input: EditImageInput!) {
  editImage(input: $input) { __typename ... on EditJob { id } ... on EditError { message } }
}`;
const WATCH = `subscription ($id: ID!) {
  jobProgress(jobId: $id, previews: false) { status progress images { url } error { message } }
}`;

/** How long a watch is retried while the gateway is away. */
const PATIENCE_MS = 60_000;

interface Job extends Progress {
  readonly images: { url: string }[];
  readonly error: { message: string } | null;
}

/** Nothing but `fetch`: the subscription is a POST whose answer is a stream of server-sent events. */
export const edit: Example = async (gateway, imageUrl, show) => {
  const ask = (query: string, variables: object, accept: string) =>
    fetch(`${gateway}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify({ query, variables }),
    });

  const input = { images: [{ url: imageUrl }], prompt: 'Make it night', steps: 8 };
  const { data } = await (await ask(EDIT, { input }, 'application/json')).json();
  if (data.editImage.__typename !== 'EditJob') throw new Error(data.editImage.message);

  let last: Job | undefined;
  /** Reads one stream. Gives the pause before the next one, in milliseconds; null: the subscription is complete. */
  async function watch(): Promise<number | null> {
    let pause = 1_000;
    const stream = await ask(WATCH, { id: data.editImage.id }, 'text/event-stream');
    // Before the first snapshot this is an error; later the gateway, or a proxy in front of it, is starting.
    if (!stream.ok || stream.body === null) throw new Error(`The watch was answered ${stream.status}`);
    let rest = '';
    for await (const text of stream.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + text).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        if (/^event: complete$/m.test(event)) return null;
        // A gateway that stops says when to come back.
        pause = Number(/^retry: (\d+)$/m.exec(event)?.[1] ?? pause);
        const line = /^data: (\{.*)$/m.exec(event)?.[1];
        if (line === undefined) continue;
        const job: Job = JSON.parse(line).data.jobProgress;
        show(job);
        last = job;
      }
    }
    return pause;
  }
  for (let deadline = Date.now() + PATIENCE_MS; ; ) {
    try {
      const pause = await watch();
      if (pause === null) break;
      deadline = Date.now() + PATIENCE_MS;
      await sleep(pause);
    } catch (error) {
      if (last === undefined || Date.now() > deadline) throw error;
      // Not all watchers at the same time.
      await sleep(500 + Math.random() * 1_000);
    }
  }
  const image = last?.images[0];
  if (image === undefined) throw new Error(last?.error?.message ?? 'There is no output image');
  return fetchBytes(image.url);
};

if (import.meta.main) await runExample(edit);
