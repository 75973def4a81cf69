import { readFile } from 'node:fs/promises';
import { Client, fetchExchange, gql } from '@urql/core';
import { cacheExchange } from '@urql/exchange-graphcache';
import { buildSchema, introspectionFromSchema } from 'graphql';
import { type Example, fetchBytes, type Progress, runExample } from './run.ts';

const EDIT = gql<{ editImage: { id?: string; message?: string } }>`
  mutation ($input: EditImageInput!) {
    editImage(input: $input) {
      ... on EditJob { id status progress }
      ... on EditError { message }
    }
  }
`;
const JOB = gql<{ job: Job | null }>`
  query ($id: ID!) {
    job(id: $id) { id status progress images { id url } }
  }
`;
const WATCH = gql<{ jobProgress: Job }>`
  subscription ($id: ID!) {
    jobProgress(jobId: $id, previews: false) { id status progress images { id url } }
  }
`;

interface Job extends Progress {
  readonly id: string;
  readonly images: { url: string }[];
}

/**
 * urql with its normalised cache. The page shows the *query* and ignores the subscription's results, yet the query follows
 * them, because both are the same `EditJob` by its id.
 */
export const edit: Example = async (gateway, imageUrl, show) => {
  // Tells the cache which types are an `EditError`; an app makes it at build time.
  const sdl = await readFile(new URL('../../schema/schema.graphql', import.meta.url), 'utf8');
  const schema = introspectionFromSchema(buildSchema(sdl));
  const client = new Client({
    url: `${gateway}/graphql`,
    preferGetMethod: false,
    // Subscriptions by server-sent events, without another library.
    fetchSubscriptions: true,
    exchanges: [cacheExchange({ schema }), fetchExchange],
  });
  const input = { images: [{ url: imageUrl }], prompt: 'Make it night', steps: 8 };
  const submitted = await client.mutation(EDIT, { input });
  const id = submitted.data?.editImage?.id;
  if (id === undefined) throw new Error(submitted.data?.editImage?.message ?? submitted.error?.message);

  let retry: NodeJS.Timeout | undefined;
  let stop = (): void => {};
  // A gateway that stops ends the stream before the job: then subscribe again, not all watchers at the same time.
  function watch(): void {
    stop = client.subscription(WATCH, { id }).subscribe(({ data, hasNext }) => {
      const status = data?.jobProgress.status;
      if (hasNext || (status !== undefined && status !== 'QUEUED' && status !== 'PROCESSING')) return;
      stop();
      retry = setTimeout(watch, 500 + Math.random() * 1_000);
    }).unsubscribe;
  }
  watch();
  const url = await new Promise<string>((resolve, reject) => {
    client.query(JOB, { id }).subscribe(({ data, error }) => {
      if (error !== undefined) reject(error);
      if (data?.job == null) return;
      show(data.job);
      const image = data.job.images[0];
      if (image !== undefined) resolve(image.url);
      else if (data.job.status === 'ERROR' || data.job.status === 'CANCELED')
        reject(new Error(data.job.status));
    });
  });
  clearTimeout(retry);
  stop();
  return fetchBytes(url);
};

if (import.meta.main) await runExample(edit);
