import { type Example, fetchBytes, type Progress, runExample } from './run.ts';

const EDIT = `mutation ($input: EditImageInput!) {
  editImage(input: $input) { __typename ... on EditJob { id } ... on EditError { message } }
}`;
const WATCH = `subscription ($id: ID!) {
  jobProgress(jobId: $id, previews: false) { status progress images { url } error { message } }
}`;

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

  const stream = await ask(WATCH, { id: data.editImage.id }, 'text/event-stream');
  if (stream.body === null) throw new Error('There is no stream');
  let last: Job | undefined;
  let rest = '';
  for await (const text of stream.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      const line = /^data: (\{.*)$/m.exec(event)?.[1];
      if (line === undefined) continue;
      const job: Job = JSON.parse(line).data.jobProgress;
      show(job);
      last = job;
    }
  }
  const image = last?.images[0];
  if (image === undefined) throw new Error(last?.error?.message ?? 'There is no output image');
  return fetchBytes(image.url);
};

if (import.meta.main) await runExample(edit);
