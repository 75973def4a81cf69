import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient } from 'graphql-ws';
import { type Example, fetchBytes, type Progress, reconnecting, runExample } from './run.ts';

const EDIT = gql`
  mutation ($input: EditImageInput!) {
    editImage(input: $input) {
      ... on EditJob { id status progress }
      ... on EditError { message }
    }
  }
`;
const JOB = gql`
  query ($id: ID!) {
    job(id: $id) { id status progress images { id url } }
  }
`;
const WATCH = gql`
  subscription ($id: ID!) {
    jobProgress(jobId: $id, previews: false) { id status progress images { id url } }
  }
`;

interface Job extends Progress {
  readonly id: string;
  readonly images: { url: string }[];
}

/**
 * Apollo Client with its normalised cache. The page shows the *query* and ignores the subscription's results, yet the query
 * follows them, because both are the same `EditJob` by its id.
 */
export const edit: Example = async (gateway, imageUrl, show) => {
  const sockets = createClient({ url: `${gateway.replace(/^http/, 'ws')}/graphql`, ...reconnecting() });
  const client = new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === 'subscription',
      new GraphQLWsLink(sockets),
      new HttpLink({ uri: `${gateway}/graphql` }),
    ),
    cache: new InMemoryCache({
      possibleTypes: { EditError: ['EditInvalidInput', 'EditImageRejected', 'EditQueueFull'] },
    }),
  });
  const input = { images: [{ url: imageUrl }], prompt: 'Make it night', steps: 8 };
  const submitted = await client.mutate<{ editImage: { id?: string; message?: string } }>({
    mutation: EDIT,
    variables: { input },
  });
  const id = submitted.data?.editImage?.id;
  if (id === undefined) throw new Error(submitted.data?.editImage?.message);

  const watching = client.subscribe({ query: WATCH, variables: { id } }).subscribe({});
  const url = await new Promise<string>((resolve, reject) => {
    client.watchQuery<{ job: Job | null }>({ query: JOB, variables: { id } }).subscribe({
      next({ data, dataState }) {
        if (dataState !== 'complete' || data.job === null) return;
        show(data.job);
        const image = data.job.images[0];
        if (image !== undefined) resolve(image.url);
        else if (data.job.status === 'ERROR' || data.job.status === 'CANCELED')
          reject(new Error(data.job.status));
      },
      error: reject,
    });
  });
  watching.unsubscribe();
  client.stop();
  await sockets.dispose();
  return fetchBytes(url);
};

if (import.meta.main) await runExample(edit);
