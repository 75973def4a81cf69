import type { Client, JobSnapshot } from '../client/client.ts';
import { printJson } from './commands/remote.ts';
import { CommandFailure } from './outcome.ts';
import { createProgressView } from './progress-view.ts';

/**
 * Shows a job to its end: as a bar on standard error, or each snapshot as JSON on standard output. Resolves with the
 * completed job; throws CommandFailure with the reason for one that failed or was canceled.
 */
export async function followJob(client: Client, id: string, json: boolean): Promise<JobSnapshot> {
  const view = json ? null : createProgressView(process.stderr);
  let last: JobSnapshot | null = null;
  try {
    for await (const job of client.watch(id)) {
      if (json) printJson(job);
      else view?.show(job);
      last = job;
    }
  } finally {
    view?.done();
  }
  if (last?.status === 'COMPLETED') return last;
  const { code = 'CANCELED', message = 'The job was canceled' } = last?.error ?? {};
  throw new CommandFailure(`${code}: ${message}`);
}
