import { type Options, SingleBar } from 'cli-progress';
import type { JobSnapshot } from '../client/client.ts';
import { printable, printJson } from './output.ts';

/** Shows a job's snapshots to a person. */
export interface ProgressView {
  show(job: JobSnapshot): void;
  /** The connection is lost, for this reason, and made anew; the next snapshot says that it is there again. */
  lost(reason: string): void;
  done(): void;
}

const WIDTH = 28;

export interface ProgressViewOptions {
  /**
   * Whether SIGINT and SIGTERM are the caller's, who then calls `done`. Left out: the first of them ends the bar, and
   * nothing else.
   */
  readonly leavesSignals?: boolean;
  /** Whether the bar is drawn again without a change, because something else writes on its line. */
  readonly redraws?: boolean;
}

/** A bar on a terminal; one line for each new stage or tenth elsewhere, so that a log stays short. */
export function createProgressView(
  stream: NodeJS.WriteStream,
  options: ProgressViewOptions = {},
): ProgressView {
  return stream.isTTY ? barView(stream, options) : lineView(stream);
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

function lineView(stream: NodeJS.WriteStream): ProgressView {
  let last = '';
  const losses = createLosses(stream);
  return {
    lost: losses.tell,
    show(job) {
      losses.end();
      const key = `${job.status} ${job.stage} ${Math.floor(job.progress / 10)}`;
      if (key !== last) stream.write(`${describe(job)}\n`);
      last = key;
    },
    done() {},
  };
}

/** Each snapshot as JSON on standard output, and what is lost on standard error. */
export function createJsonView(): ProgressView {
  const losses = createLosses(process.stderr);
  return {
    lost: losses.tell,
    show(job) {
      losses.end();
      printJson(job);
    },
    done() {},
  };
}

/** Tells one loss once, however often it is tried to make it good. */
function createLosses(stream: NodeJS.WriteStream): { tell(reason: string): void; end(): void } {
  let told = false;
  return {
    tell(reason) {
      if (!told) stream.write(`${printable(reason)}; reconnecting\n`);
      told = true;
    },
    end() {
      told = false;
    },
  };
}

/** One line: `45.2 %  SAMPLING  step 9/20  ETA 12 s`. */
export function describe(job: JobSnapshot): string {
  const parts = [`${job.progress.toFixed(1).padStart(5)} %`, (job.stage ?? job.status).padEnd(9)];
  if (job.step != null && job.totalSteps != null) parts.push(`step ${job.step}/${job.totalSteps}`);
  if (job.queuePosition != null && job.status === 'QUEUED') parts.push(`${job.queuePosition} ahead`);
  if (job.etaSeconds != null && job.status === 'PROCESSING') parts.push(`ETA ${duration(job.etaSeconds)}`);
  return printable(parts.join('  '));
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
