import type { Job } from './job.ts';
import type { JobPosition } from './ports.ts';

/** The position after a job in the list of jobs, as callers get it. It stays valid when the job is deleted. */
export function cursorOf({ createdAt, id }: Job): string {
  return Buffer.from(`${createdAt}:${id}`).toString('base64url');
}

/** The position that a cursor names; null: `cursorOf` makes no such text. */
export function positionOf(cursor: string): JobPosition | null {
  const [, createdAt, id] =
    /^(\d{1,15}):([\w-]{1,64})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  return createdAt === undefined || id === undefined ? null : { createdAt: Number(createdAt), id };
}
