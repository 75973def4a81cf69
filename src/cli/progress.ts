import type { BatchSnapshot, JobSnapshot } from '../client/client.ts';
import { type BarOptions, createBar } from './bar.ts';
import { printable, printJson } from './outcome.ts';

/** Displays snapshots of a job, or of a batch. */
export interface ProgressView<Snapshot extends { readonly progress: number } = JobSnapshot> {
  show(snapshot: Snapshot): void;
  /** The connection is lost for this reason and is being retried. The next `show` means that it is back. */
  lost(reason: string): void;
  done(): void;
}

/** How a bar shares the terminal and the process. */
export type ProgressViewOptions = Pick<BarOptions, 'leavesSignals' | 'redraws'>;

/** A bar on a terminal. Elsewhere one line per stage and per 10 %, so that a log stays short. */
export function createProgressView(
  stream: NodeJS.WriteStream,
  options: ProgressViewOptions = {},
): ProgressView {
  if (stream.isTTY) return barView(stream, describe, options);
  let last = '';
  return printingView(stream, job => {
    const key = `${job.status} ${job.stage} ${Math.floor(job.progress / 10)} ${job.waitingFor?.code}`;
    if (key !== last) stream.write(`${describe(job)}\n`);
    last = key;
  });
}

/** Each snapshot as JSON on standard output, and a lost connection on standard error. */
export function createJsonView(): ProgressView {
  return printingView(process.stderr, printJson);
}

/** A bar over all jobs of a batch, a line per 5 % where there is no terminal, or each snapshot as JSON. */
export function createBatchView(stream: NodeJS.WriteStream, json: boolean): ProgressView<BatchSnapshot> {
  if (json) return printingView<BatchSnapshot>(stream, printJson);
  if (stream.isTTY) return barView(stream, describeBatch, { leavesSignals: true });
  let last = -1;
  return printingView<BatchSnapshot>(stream, batch => {
    const step = Math.floor(batch.progress / 5);
    if (step !== last) stream.write(`${describeBatch(batch)}\n`);
    last = step;
  });
}

function barView<Snapshot extends { readonly progress: number }>(
  stream: NodeJS.WriteStream,
  textOf: (snapshot: Snapshot) => string,
  options: ProgressViewOptions,
): ProgressView<Snapshot> {
  const bar = createBar(stream, options);
  let share = 0;
  let text = '';
  return {
    show(snapshot) {
      share = snapshot.progress / 100;
      text = textOf(snapshot);
      bar.show(share, text);
    },
    lost: () => bar.show(share, `${text}  reconnecting`),
    done: () => bar.done(),
  };
}

/** Prints each snapshot, and each loss of the connection once, however often it is retried. */
function printingView<Snapshot extends { readonly progress: number } = JobSnapshot>(
  losses: NodeJS.WriteStream,
  print: (snapshot: Snapshot) => void,
): ProgressView<Snapshot> {
  let isLost = false;
  return {
    lost(reason) {
      if (!isLost) losses.write(`${printable(reason)}; reconnecting\n`);
      isLost = true;
    },
    show(snapshot) {
      isLost = false;
      print(snapshot);
    },
    done() {},
  };
}

/** One line: `45.2 %  SAMPLING  step 9/20  ETA 12 s`. */
export function describe(job: JobSnapshot): string {
  const parts = [`${job.progress.toFixed(1).padStart(5)} %`, (job.stage ?? job.status).padEnd(9)];
  if (job.step != null && job.totalSteps != null) parts.push(`step ${job.step}/${job.totalSteps}`);
  if (job.waitingFor != null) parts.push(job.waitingFor.message);
  if (job.etaSeconds != null && job.status === 'PROCESSING') parts.push(`ETA ${duration(job.etaSeconds)}`);
  return printable(parts.join('  '));
}

/** One line: `45.2 %  9/20 completed  1 failed  ETA 2 min 5 s`. */
export function describeBatch(batch: BatchSnapshot): string {
  const { progress, completed, total, failed, canceled, etaSeconds } = batch;
  const parts = [`${progress.toFixed(1).padStart(5)} %`, `${completed}/${total} completed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (canceled > 0) parts.push(`${canceled} canceled`);
  if (etaSeconds != null) parts.push(`ETA ${duration(etaSeconds)}`);
  return parts.join('  ');
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
