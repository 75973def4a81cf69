import { cursorOf, positionOf } from '../../jobs/cursor.ts';
import type { Job } from '../../jobs/job.ts';
import type { JobPage, JobPosition, JobRange } from '../../jobs/ports.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import { PAGE_LIMIT, PAGE_SIZE } from '../measure.ts';
import { invalid } from './invalid.ts';
import type { JobTypes } from './job.ts';

/** A page as the fields of `EditJobConnection` read it. What costs a read of the store is read when it is selected. */
export interface ConnectionPage {
  readonly jobs: readonly Job[];
  hasNextPage(): boolean | Promise<boolean>;
  hasPreviousPage(): boolean | Promise<boolean>;
  /** On all pages; null where they would have to be counted one by one. */
  total(): Promise<number | null>;
}

/** The paging arguments of a field, as GraphQL has read them. */
export interface PageArguments {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

/** Reads jobs of one list. */
export interface ConnectionSource {
  list(range: JobRange): Promise<JobPage>;
  total(): Promise<number | null>;
}

/**
 * Adds `EditJobConnection` (https://relay.dev/graphql/connections.htm). A field of that type takes `pageArgs` and resolves to
 * `readPage`.
 */
export function addJobConnection(builder: Builder, { JobType }: JobTypes) {
  const PageInfo = builder.objectRef<ConnectionPage>('PageInfo').implement({
    description: 'Relay’s type, with all of its fields, so that it composes with that of any other subgraph.',
    directives: { shareable: {} },
    fields: t => ({
      hasNextPage: t.boolean({ resolve: page => page.hasNextPage() }),
      hasPreviousPage: t.boolean({ resolve: page => page.hasPreviousPage() }),
      startCursor: t.string({ nullable: true, resolve: ({ jobs }) => cursorOrNull(jobs[0]) }),
      endCursor: t.string({ nullable: true, resolve: ({ jobs }) => cursorOrNull(jobs.at(-1)) }),
    }),
  });
  const JobEdge = builder.objectRef<Job>('EditJobEdge').implement({
    fields: t => ({
      cursor: t.string({ resolve: cursorOf }),
      node: t.field({ type: JobType, resolve: job => job }),
    }),
  });
  const JobConnection = builder.objectRef<ConnectionPage>('EditJobConnection').implement({
    description:
      'A page of jobs (https://relay.dev/graphql/connections.htm): newest first, or those of a batch in the order of its edits.',
    fields: t => ({
      edges: t.field({ type: [JobEdge], resolve: page => [...page.jobs] }),
      nodes: t.field({ type: [JobType], resolve: page => [...page.jobs] }),
      pageInfo: t.field({ type: PageInfo, resolve: page => page }),
      totalCount: t.int({
        nullable: true,
        description:
          'The number of jobs on all pages. Null with `label` or `metadata`: they would have to be counted one by one.',
        resolve: page => page.total(),
      }),
    }),
  });
  const pageArgs = builder.args(t => ({
    first: t.int({
      description: `The first jobs: 0 to ${PAGE_LIMIT}. ${PAGE_SIZE} unless \`last\` is given.`,
    }),
    after: t.string({ description: 'Only jobs after this cursor: `endCursor` of the previous page.' }),
    last: t.int({ description: `The last jobs: 0 to ${PAGE_LIMIT}. Not together with \`first\`.` }),
    before: t.string({ description: 'Only jobs before this cursor: `startCursor` of the next page.' }),
  }));
  return { JobConnection, pageArgs };
}

export type JobConnectionTypes = ReturnType<typeof addJobConnection>;

/** Reads the page that the arguments name. Throws BAD_USER_INPUT for arguments that no page has. */
export async function readPage(given: PageArguments, source: ConnectionSource): Promise<ConnectionPage> {
  const range = readRange(given);
  const { jobs, hasMore } = await source.list(range);
  const any = async (beyond: JobRange): Promise<boolean> => (await source.list(beyond)).jobs.length > 0;
  const [newest, oldest] = [jobs[0], jobs.at(-1)];
  const isForward = range.last === undefined;
  return {
    jobs,
    hasNextPage() {
      if (isForward) return hasMore;
      if (range.before === null || oldest === undefined) return range.before !== null;
      return any({ first: 1, after: oldest });
    },
    hasPreviousPage() {
      if (!isForward) return hasMore;
      if (range.after === null || newest === undefined) return range.after !== null;
      return any({ last: 1, before: newest });
    },
    total: () => source.total(),
  };
}

function readRange({ first, after, last, before }: PageArguments): JobRange {
  if (first != null && last != null) {
    throw invalid('last', `takes no value together with first, got first: ${first} and last: ${last}`);
  }
  const positions = { after: readCursor('after', after), before: readCursor('before', before) };
  return last == null
    ? { first: readSize('first', first ?? PAGE_SIZE), ...positions }
    : { last: readSize('last', last), ...positions };
}

function readSize(name: string, size: number): number {
  if (size < 0 || size > PAGE_LIMIT) throw invalid(name, `takes 0 to ${PAGE_LIMIT}, got ${size}`);
  return size;
}

function readCursor(name: string, cursor: string | null | undefined): JobPosition | null {
  if (cursor == null) return null;
  const position = positionOf(cursor);
  if (position === null) throw invalid(name, `takes a cursor of a page, got ${show(cursor)}`);
  return position;
}

function cursorOrNull(job: Job | undefined): string | null {
  return job === undefined ? null : cursorOf(job);
}
