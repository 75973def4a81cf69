import { createClient } from 'graphql-ws';
import {
  type FetchFunction,
  type GraphQLResponse,
  Network,
  Observable,
  type RequestParameters,
  type SubscribeFunction,
} from 'relay-runtime';
import { type Example, fetchBytes, type Progress, reconnecting, runExample } from './run.ts';

/** In an app the compiler writes these. */
function operation(operationKind: 'mutation' | 'subscription', text: string): RequestParameters {
  return {
    id: null,
    cacheID: text,
    name: operationKind,
    operationKind,
    text,
    metadata: {},
    providedVariables: {},
  };
}

const EDIT = operation(
  'mutation',
  `mutation ($input: EditImageInput!) {
    editImage(input: $input) { __typename ... on EditJob { id } ... on EditError { message } }
  }`,
);
const WATCH = operation(
  'subscription',
  'subscription ($id: ID!) { jobProgress(jobId: $id, previews: false) { id status progress images { url } } }',
);

interface Job extends Progress {
  readonly images: { url: string }[];
}

/** Relay's network layer: what `new Environment({ network })` is given. */
export const edit: Example = async (gateway, imageUrl, show) => {
  const sockets = createClient({ url: `${gateway.replace(/^http/, 'ws')}/graphql`, ...reconnecting() });
  const fetchOperation: FetchFunction = async ({ text }, variables) => {
    const answer = await fetch(`${gateway}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: text, variables }),
    });
    return answer.json();
  };
  const subscribe: SubscribeFunction = ({ text }, variables) =>
    Observable.create<GraphQLResponse>(sink =>
      sockets.subscribe<GraphQLResponse>(
        { query: text ?? '', variables },
        {
          next: result => sink.next(result as GraphQLResponse),
          error: error => sink.error(error instanceof Error ? error : new Error(JSON.stringify(error))),
          complete: () => sink.complete(),
        },
      ),
    );
  const network = Network.create(fetchOperation, subscribe);
  const run = (what: RequestParameters, variables: object) =>
    network.execute(what, { ...variables }, { force: true }, null);

  const input = { images: [{ url: imageUrl }], prompt: 'Make it night', steps: 8 };
  const { editImage } = dataOf<{ editImage: { id?: string; message?: string } }>(
    await run(EDIT, { input }).toPromise(),
  );
  if (editImage.id === undefined) throw new Error(editImage.message);

  let last: Job | undefined;
  await new Promise<void>((resolve, reject) => {
    run(WATCH, { id: editImage.id }).subscribe({
      next(response) {
        last = dataOf<{ jobProgress: Job }>(response).jobProgress;
        show(last);
      },
      error: reject,
      complete: resolve,
    });
  });
  await sockets.dispose();
  const image = last?.images[0];
  if (image === undefined) throw new Error('There is no output image');
  return fetchBytes(image.url);
};

function dataOf<Data>(response: GraphQLResponse | undefined): Data {
  if (response === undefined || !('data' in response) || response.data == null) {
    throw new Error(JSON.stringify(response));
  }
  return response.data as Data;
}

if (import.meta.main) await runExample(edit);
