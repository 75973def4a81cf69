import type { Job } from './job.ts';

/** Who asks. Without keys everybody is the operator and no job has an owner. */
export interface Caller {
  readonly id: string | null;
  readonly operator: boolean;
  /** Whose turn the caller takes when it has no name; left out: nobody's. */
  readonly share?: string | undefined;
}

/** Whose turn the caller takes where callers share what there is; null: callers are not told apart. */
export function shareOf(caller: Caller): string | null {
  return caller.share ?? caller.id;
}

/** Whether a caller may know of a job: to others it is not there. */
export function maySee(job: Pick<Job, 'owner'>, caller: Caller): boolean {
  return caller.operator || job.owner === caller.id;
}
