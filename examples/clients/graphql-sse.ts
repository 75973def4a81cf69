import { createClient } from 'graphql-sse';
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

/** Server-sent events in the distinct connections mode, the only one that the gateway has. */
export const edit: Example = async (gateway, imageUrl, show) => {
  const connection = { url: `${gateway}/graphql`, singleConnection: false } as const;
  // By itself it tries a gateway that is not there for half a minute. That is right for a watch, which goes on after the
  // gateway was restarted, and never for a mutation, which could be done twice.
  const client = createClient({ ...connection, retryAttempts: 0 });
  const watching = createClient({ ...connection, retryAttempts: 5 });
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
  for await (const { data } of watching.iterate<{ jobProgress: Job }>({
    query: WATCH,
    variables: { id },
  })) {
    last = data?.jobProgress;
    if (last !== undefined) show(last);
  }
  client.dispose();
  watching.dispose();
  const image = last?.images[0];
  if (image === undefined) throw new Error(last?.error?.message ?? 'There is no output image');
  return fetchBytes(image.url);
};

if (import.meta.main) await runExample(edit);
