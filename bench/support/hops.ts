import { Socket } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { ENGINE_STEP } from './tap.ts';

/** A moment at which a step passed a socket of a process. */
export interface Passed {
  readonly way: 'read' | 'written';
  readonly step: number;
  /** By the clock that all processes of the machine share, in milliseconds. */
  readonly at: number;
}

/** A collection of garbage that stopped a process, by the same clock. */
export interface Pause {
  readonly at: number;
  readonly ms: number;
}

/** What one process has noted. */
export interface Hops {
  readonly passed: readonly Passed[];
  readonly pauses: readonly Pause[];
}

/** One of ComfyUI's events (see `tap.ts`), then a snapshot of ours in Redis' commands and messages and in GraphQL's results. */
const STEP = new RegExp(`${ENGINE_STEP.source}|"step":(\\d+)`);
/** Longer texts are images and modules. */
const MAX_LENGTH = 100_000;

const now = (): number => Number(process.hrtime.bigint()) / 1e6;
/** From `performance.now()` to that clock. */
const OFFSET = now() - performance.now();

const passed: Passed[] = [];
const pauses: Pause[] = [];

/**
 * Loaded into a measured process before its own code (`--import`), and by the process that measures: notes when steps of
 * jobs are read from and written to its sockets, without a change of the code that does it, and its garbage collections.
 * Answers `{hops}` with what it noted since the last time. That costs about 2 µs for each read and write.
 */
const { push, write } = Socket.prototype;
Socket.prototype.push = function (this: Socket, chunk: unknown, encoding?: BufferEncoding): boolean {
  note('read', chunk);
  return push.call(this, chunk, encoding);
};
Socket.prototype.write = function (this: Socket, chunk: string | Uint8Array, ...rest: unknown[]): boolean {
  note('written', chunk);
  return Reflect.apply(write, this, [chunk, ...rest]);
};

function note(way: Passed['way'], chunk: unknown): void {
  const text = textOf(chunk);
  if (text === null) return;
  const found = STEP.exec(text);
  if (found !== null) passed.push({ way, step: Number(found[1] ?? found[2]), at: now() });
}

function textOf(chunk: unknown): string | null {
  if (typeof chunk === 'string') return chunk.length > MAX_LENGTH ? null : chunk;
  return Buffer.isBuffer(chunk) && chunk.length <= MAX_LENGTH ? chunk.toString('latin1') : null;
}

const observer = new PerformanceObserver(list => {
  for (const { startTime, duration } of list.getEntries()) {
    pauses.push({ at: startTime + OFFSET, ms: duration });
  }
});
observer.observe({ entryTypes: ['gc'] });

/** Removes and returns what was noted. */
export function takeHops(): Hops {
  return { passed: passed.splice(0), pauses: pauses.splice(0) };
}

process.on('message', ({ probe }: { probe?: 'hops' }) => {
  if (probe === 'hops') process.send?.({ hops: takeHops() });
});
process.channel?.unref();
