import type { Job } from '../../jobs/job.ts';
import { tagsOf } from '../../jobs/labels.ts';
import type { JobFilter, JobPosition, JobQuery, Ledger } from '../../jobs/ports.ts';
import { ownerSuffix } from './batches.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, asPresentJobs, reach } from './replies.ts';

/** Jobs that one script looks at for a page of the jobs with some tags: a millisecond or two of Redis' time. */
const STEP = 1_000;

/** Lists of jobs by time, for the ledger. */
export function createRedisLists(client: Client, keys: Keys): Pick<Ledger, 'list' | 'total'> {
  const { prefix } = keys;

  /** Up to `limit` jobs, newest first. */
  async function listAll(query: JobQuery, limit: number): Promise<Job[]> {
    const lists = listsOf(query);
    if (lists.length === 0) return [];
    const range = [...positionArguments(query.after), ...positionArguments(query.before)];
    const reply = client.qeListJobs(keys.queue, prefix, limit, endOf(query), ...range, ...lists);
    return asPresentJobs(await reach(reply));
  }

  /** The same for the jobs with all of the tags. */
  async function listTagged(query: JobQuery, tags: readonly string[], limit: number): Promise<Job[]> {
    const { owner, statuses } = query;
    const lists = tags.map(tag => tag + ownerSuffix(owner));
    const only = statuses === null ? '' : ` ${[...new Set(statuses)].join(' ')} `;
    const end = endOf(query);
    const found: Job[] = [];
    let [after, before] = [positionArguments(query.after), positionArguments(query.before)];
    for (;;) {
      const range = [...after, ...before];
      const room = limit - found.length;
      const reply = client.qeListTagged(keys.queue, prefix, room, end, ...range, STEP, only, ...lists);
      const [created, id, ...halves] = asList(await reach(reply));
      found.push(...asPresentJobs(halves));
      if (id === '' || found.length >= limit) return end === 'first' ? found : found.reverse();
      const reached = [String(created), String(id)];
      if (end === 'first') after = reached;
      else before = reached;
    }
  }

  return {
    async list(query) {
      const size = query.first ?? query.last;
      const tags = query.labels === undefined ? [] : tagsOf(query.labels);
      const found =
        tags.length === 0 ? await listAll(query, size + 1) : await listTagged(query, tags, size + 1);
      const hasMore = found.length > size;
      const jobs = query.last === undefined ? found.slice(0, size) : found.slice(hasMore ? 1 : 0);
      return { jobs, hasMore };
    },
    async total(filter) {
      return asNumber(await reach(client.qeTotalJobs(keys.queue, prefix, ...listsOf(filter))));
    },
  };
}

/** Which jobs of its range a query wants. */
function endOf({ last }: JobQuery): 'first' | 'last' {
  return last === undefined ? 'first' : 'last';
}

/** A position as the scripts take it. */
function positionArguments(position: JobPosition | null | undefined): string[] {
  return position == null ? ['', ''] : [String(position.createdAt), position.id];
}

function listsOf({ owner, statuses }: Pick<JobFilter, 'owner' | 'statuses'>): string[] {
  const names = statuses === null ? ['*'] : [...new Set(statuses)];
  return names.map(name => name + ownerSuffix(owner));
}
