import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { createClient as createSocketClient } from 'graphql-ws';
import {
  EditImageDocument,
  type EditImageInput,
  type EditImageMutation,
  JobProgressDocument,
  type JobSnapshotFragment,
} from './generated/operations.ts';

export type { EditImageInput, JobSnapshotFragment as JobSnapshot } from './generated/operations.ts';

/** What `edit` answers: a job, or an error that says what to change. */
export type EditResult = EditImageMutation['editImage'];

export interface ClientOptions {
  /** Where the gateway is, e.g. `http://localhost:8189`. */
  readonly url: string;
}

/** A gateway, seen from Node or a browser. */
export interface Client {
  /** Submits an edit. Throws when the gateway cannot be reached or the operation itself is refused. */
  edit(input: EditImageInput, signal?: AbortSignal): Promise<EditResult>;
  /** The job as it is, then each change, to its final state. */
  watch(jobId: string): AsyncIterableIterator<JobSnapshotFragment>;
  /** Closes the socket. */
  close(): Promise<void>;
}

/** Makes a client; it connects when it is first used. */
export function createClient({ url }: ClientOptions): Client {
  const endpoint = new URL('/graphql', url);
  const sockets = createSocketClient({ url: endpoint.href.replace(/^http/, 'ws'), lazy: true });

  async function execute<R, V>(
    document: TypedDocumentNode<R, V>,
    variables: V,
    signal?: AbortSignal,
  ): Promise<R> {
    const answer = await fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
      body: JSON.stringify({ query: print(document), variables }),
      ...(signal === undefined ? {} : { signal }),
    });
    const { data, errors }: { data?: R | null; errors?: readonly { message: string }[] } =
      await answer.json();
    if (data == null) {
      throw new Error(
        errors?.map(({ message }) => message).join('; ') ?? `${endpoint} answered ${answer.status}`,
      );
    }
    return data;
  }

  async function* watch(jobId: string): AsyncIterableIterator<JobSnapshotFragment> {
    const results = sockets.iterate<{ jobProgress: JobSnapshotFragment }>({
      query: print(JobProgressDocument),
      variables: { jobId },
    });
    for await (const { data, errors } of results) {
      if (data == null) throw new Error(errors?.map(({ message }) => message).join('; ') ?? 'no data');
      yield data.jobProgress;
    }
  }

  return {
    edit: async (input, signal) => (await execute(EditImageDocument, { input }, signal)).editImage,
    watch,
    close: async () => sockets.dispose(),
  };
}
