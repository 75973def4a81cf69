/** Where values lie along an axis. */
export interface Scale {
  /** In pixels, to tenths. */
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** A scale that holds all points. A linear one begins at 0; a logarithmic one ends at powers of ten. */
export function scaleOf<Key extends 'x' | 'y'>(
  kind: 'linear' | 'log',
  points: readonly Readonly<Record<Key, number>>[],
  key: Key,
  [from, to]: readonly [number, number],
): Scale {
  const values = points.map(point => point[key]);
  const largest = Math.max(...values);
  const place = (share: number): number => Math.round((from + share * (to - from)) * 10) / 10;
  if (kind === 'linear') {
    const step = niceStep(largest);
    const end = Math.ceil(largest / step) * step;
    const count = Math.round(end / step);
    return {
      at: value => place(value / end),
      ticks: Array.from({ length: count + 1 }, (_, n) => Number((n * step).toPrecision(12))),
    };
  }
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(largest)));
  return {
    at: value => place((Math.log10(value) - low) / (high - low)),
    ticks: Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n)),
  };
}

/** 1, 2 or 5 times a power of ten, so that four to eight of them make up `largest`. */
function niceStep(largest: number): number {
  const rough = (largest || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const digit = rough / power;
  return (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10) * power;
}
