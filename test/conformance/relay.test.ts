import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildSchema, isObjectType } from 'graphql';
import {
  type ConcreteRequest,
  ConnectionHandler,
  commitMutation,
  Environment,
  fetchQuery,
  type GraphQLResponse,
  Network,
  Observable,
  RecordSource,
  requestSubscription,
  Store,
  type SubscribeFunction,
} from 'relay-runtime';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../support/gateway.ts';
import { postJson, submit } from '../support/requests.ts';
import { linkModules, typeErrorsIn } from '../support/type-check.ts';

const fileAt = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const COMPILER = fileAt('../node_modules/relay-compiler/cli.js');

/** Compiles only if the types are those that the schema promises. */
const CONSUMER = `
import type { Job_row$data } from './__generated__/Job_row.graphql';
import type { JobsQuery$variables } from './__generated__/JobsQuery.graphql';
import type { Jobs_list$data } from './__generated__/Jobs_list.graphql';

export const variables: JobsQuery$variables = { status: ['QUEUED', 'COMPLETED'] };
// Not null, by @semanticNonNull and @throwOnFieldError.
export const ids = (data: Jobs_list$data): readonly string[] => data.jobs.edges.map(({ node }) => node.id);
export const total = (data: Jobs_list$data): number => data.jobs.totalCount ?? 0;
export const shown = (job: Job_row$data): string => job.images[0]?.url ?? job.request.images[0]?.url ?? job.status;
// @ts-expect-error there is no such status
export const wrong: JobsQuery$variables = { status: ['LOST'] };
`;

let folder: string;
let rig: Rig;
let jobs: string[];
let environment: Environment;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-'));
  await cp(fileAt('../fixtures/relay'), folder, { recursive: true });
  await cp(fileAt('../../schema/schema.graphql'), join(folder, 'schema.graphql'));
  await linkModules(folder);
  const persisted = join(folder, 'persisted_queries.json');
  // The compiler adds to the file.
  await writeFile(persisted, '{}');
  await promisify(execFile)(process.execPath, [COMPILER, 'relay.config.json'], { cwd: folder });
  rig = await startRig({ PERSISTED_DOCUMENTS: 'only', PERSISTED_DOCUMENTS_FILE: persisted });
  jobs = [];
  for (let n = 0; n < 5; n += 1) jobs.unshift(await submit(rig, { label: `job ${n}` }));
  const network = Network.create(async ({ id }, variables) => {
    const { body } = await postJson(`${rig.url}/graphql`, { documentId: id, variables });
    if (body.errors !== undefined) throw new Error(JSON.stringify(body.errors));
    return { data: z.record(z.string(), z.unknown()).parse(body.data) };
  }, subscribe);
  environment = new Environment({ network, store: new Store(new RecordSource()) });
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

async function artifact(name: string): Promise<ConcreteRequest> {
  return (await import(/* @vite-ignore */ join(folder, `src/__generated__/${name}.graphql.ts`))).default;
}

const run = async (name: string, variables: Record<string, unknown>): Promise<void> => {
  await fetchQuery(environment, await artifact(name), variables).toPromise();
};

/** The ids and the cursors of a connection as the store of Relay has it. */
function connection(key: string, filters?: { status: null }) {
  const found: { ids: unknown[]; start: unknown; end: unknown } = { ids: [], start: null, end: null };
  environment.commitUpdate(store => {
    const record = ConnectionHandler.getConnection(store.getRoot(), key, filters);
    const edges = record?.getLinkedRecords('edges') ?? [];
    found.ids = edges.map(edge => edge?.getLinkedRecord('node')?.getDataID());
    const info = record?.getLinkedRecord('pageInfo');
    found.start = info?.getValue('startCursor');
    found.end = info?.getValue('endCursor');
  });
  return found;
}

describe('relay-compiler', () => {
  it('writes types that fit, from the checked-in schema', { timeout: 60_000 }, async () => {
    await writeFile(join(folder, 'src/consumer.ts'), CONSUMER);
    expect(await typeErrorsIn(folder)).toBe('');
  });

  it('writes documents by MD5, which the gateway executes by their ids', async () => {
    const manifest = z
      .record(z.string().regex(/^[0-9a-f]{32}$/), z.string())
      .parse(JSON.parse(await readFile(join(folder, 'persisted_queries.json'), 'utf8')));
    expect(Object.keys(manifest)).toHaveLength(6);
    const query = '{ engines { id } }';
    const { body } = await postJson(`${rig.url}/graphql`, { query });
    expect(body).toMatchObject({ errors: [{ extensions: { code: 'PERSISTED_DOCUMENTS_ONLY' } }] });
  });
});

describe('Relay’s store', () => {
  it('never takes one object for another: an id is that of a node, or of a type that has ids of its own', async () => {
    const schema = buildSchema(await readFile(join(folder, 'schema.graphql'), 'utf8'));
    const others = Object.values(schema.getTypeMap()).filter(
      type =>
        isObjectType(type) &&
        type.getFields().id !== undefined &&
        !type.getInterfaces().some(({ name }) => name === 'Node'),
    );
    expect(others.map(({ name }) => name)).toEqual(['EditCaller', 'EditWebhookDelivery']);
  });

  it('appends the pages of a connection, and prepends those before it', async () => {
    await run('JobsQuery', { status: null });
    expect(connection('Jobs_list_jobs', { status: null }).ids).toEqual(jobs.slice(0, 2));
    for (const seen of [4, 5]) {
      const { end } = connection('Jobs_list_jobs', { status: null });
      await run('JobsNextPageQuery', { count: 2, cursor: end, status: null });
      expect(connection('Jobs_list_jobs', { status: null }).ids).toEqual(jobs.slice(0, seen));
    }
    expect(connection('Jobs_newest_newest').ids).toEqual(jobs.slice(3));
    const { start } = connection('Jobs_newest_newest');
    await run('JobsPreviousPageQuery', { last: 2, before: start, first: null, after: null });
    expect(connection('Jobs_newest_newest').ids).toEqual(jobs.slice(1));
  });

  it('refetches a job as a node', async () => {
    const id = jobs[0] ?? '';
    await run('JobRowQuery', { id });
    expect(environment.getStore().getSource().get(id)).toMatchObject({
      __typename: 'EditJob',
      label: 'job 4',
    });
  });

  it('follows a job by a subscription', async () => {
    const id = jobs[0] ?? '';
    const subscription = await artifact('JobProgressSubscription');
    await new Promise<void>((resolve, reject) => {
      const config = { subscription, variables: { id }, onCompleted: resolve, onError: reject };
      requestSubscription(environment, config);
    });
    expect(environment.getStore().getSource().get(id)).toMatchObject({ status: 'COMPLETED', progress: 100 });
  });

  it('forgets a job that is deleted, in its connections, too', async () => {
    const id = jobs[1] ?? '';
    const key = { key: 'Jobs_list_jobs', filters: { status: null } } as const;
    expect(connection(key.key, key.filters).ids).toContain(id);
    const mutation = await artifact('JobDeleteMutation');
    const connections = [ConnectionHandler.getConnectionID('client:root', key.key, key.filters)];
    // Relay warns of objects of two types with the same id.
    const warnings = vi.spyOn(console, 'error');
    onTestFinished(() => warnings.mockRestore());
    await new Promise<void>((resolve, reject) => {
      commitMutation(environment, {
        mutation,
        variables: { id, connections },
        onCompleted: () => resolve(),
        onError: reject,
      });
    });
    expect(environment.getStore().getSource().get(id) ?? null).toBeNull();
    expect(connection(key.key, key.filters).ids).toEqual(jobs.filter(job => job !== id));
    await run('JobRowQuery', { id });
    expect(environment.getStore().getSource().get(id) ?? null).toBeNull();
    expect((await fetch(`${rig.url}/status/${id}`)).status).toBe(404);
    expect(warnings.mock.calls).toEqual([]);
  });
});

/** The results of a subscription whose stream ends. */
const subscribe: SubscribeFunction = ({ id }, variables) =>
  Observable.create<GraphQLResponse>(sink => {
    const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };
    const body = JSON.stringify({ documentId: id, variables });
    fetch(`${rig.url}/graphql`, { method: 'POST', headers, body })
      .then(answer => answer.text())
      .then(text => {
        for (const [, data] of text.matchAll(/^data: (\{.*)$/gm)) sink.next(JSON.parse(data ?? ''));
        sink.complete();
      })
      .catch((error: unknown) => sink.error(error instanceof Error ? error : new Error(String(error))));
  });
