/** The value below which `share` (0 … 1) of the samples lie; NaN of none. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** p50, p99 and the largest, rounded to hundredths. */
export function summary(samples: readonly number[]): {
  p50: number;
  p99: number;
  max: number;
  samples: number;
} {
  const round = (value: number): number => Math.round(value * 100) / 100;
  return {
    p50: round(percentile(samples, 0.5)),
    p99: round(percentile(samples, 0.99)),
    max: round(Math.max(...samples)),
    samples: samples.length,
  };
}
