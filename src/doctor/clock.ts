import { type Check, reporter } from './check.ts';

/** Judges how far a clock is ahead of ours, both in milliseconds: a difference up to `allowedMs` is no fault. */
export function checkClock(target: string, aheadMs: number, allowedMs: number): Check {
  const report = reporter('clock', target);
  const off = Math.abs(aheadMs);
  const side = aheadMs < 0 ? 'behind' : 'ahead of';
  if (off <= allowedMs) return report.ok(`agrees with this machine within ${inWords(allowedMs)}`);
  return report.warning(
    `${inWords(off)} ${side} the clock of this machine`,
    'synchronise both: timedatectl set-ntp true',
  );
}

function inWords(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
