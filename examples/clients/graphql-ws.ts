import { createClient } from 'graphql-ws';
import { type Example, fetchBytes, type Progress, reconnecting, runExample } from './run.ts';

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

/** One WebSocket for everything, mutations included. */
export const edit: Example = async (gateway, imageUrl, show) => {
  const client = createClient({ url: `${gateway.replace(/^http/, 'ws')}/graphql`, ...reconnecting() });
  const input = { images: [{ url: imageUrl }], prompt: 'Make it night', steps: 8 };
  let id = '';
  for await (const { data } of client.iterate<{ editImage: { id?: string; message?: string } }>({
    query: EDIT,
    variables: { input },
  })) {
    if (data?.editImage?.id === undefined) throw new Error(data?.editImage?.message);
    id = data.editImage.id;
  }
  let last: Job | undefined;
  for await (const { data } of client.iterate<{ jobProgress: Job }>({ query: WATCH, variables: { id } })) {
    last = data?.jobProgress;
    if (last !== undefined) show(last);
  }
  await client.dispose();
  const image = last?.images[0];
  if (image === undefined) throw new Error(last?.error?.message ?? 'There is no output image');
  return fetchBytes(image.url);
};

if (import.meta.main) await runExample(edit);
