import { closeSync, constants, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { Job } from '../../jobs/job.ts';
import type { JobRows } from './rows.ts';

/**
 * Steps of runs (`CommitKind`) that the tables do not have yet. Each is appended to a file beside the database, which takes a
 * quarter of the CPU time of an UPDATE, and survives `kill -9` there. The tables get the latest step of each job with the next
 * transaction, whatever that is for, and before they are read or flushed. The file is never flushed: a power cut loses no more
 * than `passAhead` says.
 */
export interface Steps {
  /** The job at its latest step; null: the tables have that. */
  latest(jobId: string): Job | null;
  /**
   * Appends a step, which has a number, from a revision that is the present one. Throws StoreUnavailable when the file cannot be
   * written.
   */
  add(next: Job, number: number, fromRevision: number): void;
  /** Whether the tables lack steps. */
  readonly pending: boolean;
  /** Writes the steps into the tables. To be used within a transaction; call `stored` when that has ended. */
  store(): void;
  stored(): void;
  /** What a process that was killed left of a running job: the job at its latest step in the file, or as it is. */
  resumed(job: Job): Job;
  /** Removes the file, unless the tables lack steps of it. */
  close(): void;
}

/** A step that the tables lack. */
interface PendingStep {
  readonly job: Job;
  readonly number: number;
  /** The revision in the table. */
  readonly fromRevision: number;
}

/** Whether a change of a job is a step of its run, so that no index and no other table has anything of it. */
export function isStep(before: Job, next: Job): boolean {
  return (
    before.status === 'PROCESSING' &&
    next.status === 'PROCESSING' &&
    next.lane === before.lane &&
    next.promptId === before.promptId &&
    next.startedAt === before.startedAt &&
    next.expiresAt === before.expiresAt
  );
}

/**
 * `sequence`: the name of the database's sequence of numbers. It is the first line of the file, since steps of another
 * database mean nothing, though it has the same jobs: a backup that was put in its place. Throws when the file cannot be
 * opened.
 */
export function openSteps(path: string, sequence: string, rows: Pick<JobRows, 'update'>): Steps {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT);
  const left = linesIn(readFileSync(file, 'utf8'), sequence);
  const pending = new Map<string, PendingStep>();
  let end = 0;

  function begin(): void {
    ftruncateSync(file);
    end = 0;
    write(`${sequence}\n`);
  }

  function write(line: string): void {
    const written = writeSync(file, line, end);
    if (written < Buffer.byteLength(line))
      throw Object.assign(new Error('the disk is full'), { code: 'ENOSPC' });
    end += written;
  }

  return {
    latest: jobId => pending.get(jobId)?.job ?? null,
    add(next, number, fromRevision) {
      const stored = pending.get(next.id)?.fromRevision ?? fromRevision;
      try {
        if (pending.size === 0) begin();
        write(`${next.id} ${stored} ${encodeStep(next)}\n`);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error)) throw error;
        throw new StoreUnavailable(`${path} cannot be written: ${error.message}`, String(error.code));
      }
      pending.set(next.id, { job: next, number, fromRevision: stored });
    },
    get pending() {
      return pending.size > 0;
    },
    store() {
      // Each row is as it was: whatever changes one begins with a transaction.
      for (const { job, number, fromRevision } of pending.values()) rows.update(job, number, fromRevision);
    },
    stored() {
      pending.clear();
    },
    resumed(job) {
      const line = left.get(job.id);
      // The power may have failed, and the table lost a change that was before the steps.
      if (line === undefined || job.revision < line.fromRevision) return job;
      return line.step.revision > job.revision ? { ...job, ...line.step } : job;
    },
    close() {
      closeSync(file);
      if (pending.size === 0) rmSync(path, { force: true });
    },
  };
}

/** What a step may change. */
type StepFields = Pick<
  Job,
  'revision' | 'progress' | 'stage' | 'step' | 'totalSteps' | 'etaSeconds' | 'preview' | 'previewRevisions'
>;

/** As JSON. The whole state would take four times as long. */
function encodeStep(job: Job): string {
  const { revision, progress, stage, step, totalSteps, etaSeconds, preview, previewRevisions } = job;
  const fields = { revision, progress, stage, step, totalSteps, etaSeconds, preview, previewRevisions };
  return JSON.stringify(fields satisfies StepFields);
}

/** A line of the file of steps: the id of the job, the revision that the table had, and the step. */
const LINE = /^(?<id>\S+) (?<fromRevision>\d+) (?<step>\{.*\})$/;

interface Line {
  readonly fromRevision: number;
  readonly step: StepFields;
}

/** The last line of each job. One that is cut short is passed over: its process was killed, or the disk was full. */
function linesIn(text: string, sequence: string): ReadonlyMap<string, Line> {
  const [first, ...lines] = text.split('\n');
  const latest = new Map<string, Line>();
  if (first !== sequence) return latest;
  for (const line of lines) {
    const { id, fromRevision, step } = LINE.exec(line)?.groups ?? {};
    const fields = step === undefined ? null : decodeStep(step);
    if (id !== undefined && fields !== null)
      latest.set(id, { fromRevision: Number(fromRevision), step: fields });
  }
  return latest;
}

/** Its form is not checked, if it is JSON: only gateways write the file. */
function decodeStep(text: string): StepFields | null {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
