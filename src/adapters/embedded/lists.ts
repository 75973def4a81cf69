import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Job, JobStatus } from '../../jobs/job.ts';
import { tagsOf } from '../../jobs/labels.ts';
import type { JobFilter, JobPage, JobPosition, JobQuery } from '../../jobs/ports.ts';
import { decodeJob } from '../record.ts';

/** Both columns are NOT NULL TEXT in a STRICT table. */
export function jobOf(row: Record<string, SQLOutputValue>): Job {
  return decodeJob({ request: String(row.request), state: String(row.state) });
}

/** A page of jobs, newest first. */
export async function listJobs(db: DatabaseSync, query: JobQuery): Promise<JobPage> {
  const tags = query.labels === undefined ? [] : tagsOf(query.labels);
  const size = query.first ?? query.last;
  const found =
    tags.length === 0 ? allJobs(db, query, size + 1) : await taggedJobs(db, tags, query, size + 1);
  const jobs = found.slice(0, size);
  return { jobs: query.last === undefined ? jobs : jobs.reverse(), hasMore: found.length > size };
}

/** How many jobs have the owner and one of the statuses. */
export function totalOfJobs(db: DatabaseSync, { owner, statuses }: Omit<JobFilter, 'labels'>): number {
  const where: Conditions = { parts: ['TRUE'], values: [] };
  addOwner(where, owner);
  addStatuses(where, statuses);
  const row = db
    .prepare(`SELECT coalesce(sum(jobs), 0) AS n FROM job_counts WHERE ${where.parts.join(' AND ')}`)
    .get(...where.values);
  return Number(row?.n ?? 0);
}

/** Conditions that are joined by AND, with their values. */
interface Conditions {
  readonly parts: string[];
  readonly values: SQLInputValue[];
}

/** In which order the jobs of a range are read: for its last ones from its end. */
function orderOf({ last }: JobQuery): 'ASC' | 'DESC' {
  return last === undefined ? 'DESC' : 'ASC';
}

function allJobs(db: DatabaseSync, query: JobQuery, limit: number): Job[] {
  const where: Conditions = { parts: ['TRUE'], values: [] };
  addOwner(where, query.owner);
  addStatuses(where, query.statuses);
  addRange(where, 'id', query.after, query.before);
  const order = orderOf(query);
  return db
    .prepare(
      `SELECT request, state FROM jobs WHERE ${where.parts.join(' AND ')} ORDER BY created_at ${order}, id ${order} LIMIT ?`,
    )
    .all(...where.values, limit)
    .map(jobOf);
}

/** Entries of the index that one statement looks at: about a millisecond, in which the process does nothing else. */
const STEP = 1_000;

/**
 * Walks through the jobs with the rarest tag, from one end of the range, and takes those that have all tags and one of the
 * statuses. Other work gets its turn after each STEP.
 */
async function taggedJobs(
  db: DatabaseSync,
  tags: readonly string[],
  query: JobQuery,
  limit: number,
): Promise<Job[]> {
  const [rarest = '', ...others] = byRarity(db, tags, query.owner);
  const page: Conditions = { parts: ['TRUE'], values: [] };
  addStatuses(page, query.statuses);
  for (const tag of others) {
    page.parts.push(
      'EXISTS (SELECT 1 FROM tags WHERE tag = ? AND created_at = step.created_at AND job_id = step.job_id)',
    );
    page.values.push(tag);
  }
  const order = orderOf(query);
  const found: Job[] = [];
  let { after, before } = query;
  for (;;) {
    const of: Conditions = { parts: ['tag = ?'], values: [rarest] };
    addOwner(of, query.owner);
    addRange(of, 'job_id', after, before);
    const step = `SELECT created_at, job_id FROM tags WHERE ${of.parts.join(' AND ')} ORDER BY created_at ${order}, job_id ${order}`;
    const rows = db
      .prepare(
        `SELECT request, state FROM (${step} LIMIT ${STEP}) AS step CROSS JOIN jobs ON jobs.id = step.job_id
         WHERE ${page.parts.join(' AND ')} ORDER BY step.created_at ${order}, step.job_id ${order} LIMIT ?`,
      )
      .all(...of.values, ...page.values, limit - found.length);
    found.push(...rows.map(jobOf));
    if (found.length >= limit) return found;
    const end = db.prepare(`${step} LIMIT 1 OFFSET ${STEP - 1}`).get(...of.values);
    if (end === undefined) return found;
    const reached = { createdAt: Number(end.created_at), id: String(end.job_id) };
    if (query.last === undefined) after = reached;
    else before = reached;
    await nextTurn();
  }
}

/** The tags, the one with the fewest jobs first. Counts no more than STEP of each. */
function byRarity(db: DatabaseSync, tags: readonly string[], owner: string | null): string[] {
  if (tags.length === 1) return [...tags];
  const counted = tags.map(tag => {
    const where: Conditions = { parts: ['tag = ?'], values: [tag] };
    addOwner(where, owner);
    const row = db
      .prepare(
        `SELECT count(*) AS n FROM (SELECT 1 FROM tags WHERE ${where.parts.join(' AND ')} LIMIT ${STEP})`,
      )
      .get(...where.values);
    return { tag, count: Number(row?.n ?? 0) };
  });
  return counted.sort((a, b) => a.count - b.count).map(({ tag }) => tag);
}

function addOwner({ parts, values }: Conditions, owner: string | null): void {
  if (owner === null) return;
  parts.push('owner = ?');
  values.push(owner);
}

/** `id` is the column with the id of a job. */
function addRange(
  { parts, values }: Conditions,
  id: 'id' | 'job_id',
  after: JobPosition | null | undefined,
  before: JobPosition | null | undefined,
): void {
  for (const [position, comparison] of [
    [after, '<'],
    [before, '>'],
  ] as const) {
    if (position == null) continue;
    parts.push(`(created_at, ${id}) ${comparison} (?, ?)`);
    values.push(position.createdAt, position.id);
  }
}

function addStatuses({ parts, values }: Conditions, statuses: readonly JobStatus[] | null): void {
  if (statuses === null) return;
  // Each once: a caller may send more than SQLite has variables for.
  const each = [...new Set(statuses)];
  parts.push(`status IN (${each.map(() => '?').join(', ') || 'NULL'})`);
  values.push(...each);
}
