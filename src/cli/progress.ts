import { type Options, SingleBar } from 'cli-progress';
import type { JobSnapshot } from '../client/client.ts';
import { printable, printJson } from './outcome.ts';

/** Displays a job's snapshots. */
export interface ProgressView {
  show(job: JobSnapshot): void;
  /** The connection is lost for this reason and is being retried. The next `show` means that it is back. */
  lost(reason: string): void;
  done(): void;
}

const WIDTH = 28;

export interface ProgressViewOptions {
  /** Whether the caller handles SIGINT and SIGTERM and then calls `done`. If unset, the first signal only ends the bar. */
  readonly leavesSignals?: boolean;
  /** Whether to redraw the bar without a change, because other output shares its line. */
  readonly redraws?: boolean;
}

/** A bar on a terminal. Elsewhere one line per stage and per 10 %, so that a log stays short. */
export function createProgressView(
  stream: NodeJS.WriteStream,
  options: ProgressViewOptions = {},
): ProgressView {
  if (stream.isTTY) return barView(stream, options);
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

function barView(stream: NodeJS.WriteStream, options: ProgressViewOptions): ProgressView {
  const bar = new SingleBar({
    stream,
    format: (_options: Options, { progress }: { progress: number }, payload: { text: string }) => {
      const full = Math.round(progress * WIDTH);
      return `  ${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}  ${payload.text}`;
    },
    hideCursor: true,
    clearOnComplete: false,
    stopOnComplete: false,
    gracefulExit: options.leavesSignals !== true,
    forceRedraw: options.redraws === true,
  });
  bar.start(100, 0, { text: '' });
  let text = '';
  return {
    show(job) {
      text = describe(job);
      bar.update(job.progress, { text });
    },
    lost: () => bar.update({ text: `${text}  reconnecting` }),
    done: () => bar.stop(),
  };
}

/** Prints each snapshot, and each loss of the connection once, however often it is retried. */
function printingView(losses: NodeJS.WriteStream, print: (job: JobSnapshot) => void): ProgressView {
  let isLost = false;
  return {
    lost(reason) {
      if (!isLost) losses.write(`${printable(reason)}; reconnecting\n`);
      isLost = true;
    },
    show(job) {
      isLost = false;
      print(job);
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

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
