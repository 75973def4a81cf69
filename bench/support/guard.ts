import type { Findings, GuardedFigure } from './measurement.ts';

/** A figure of a short run beside the stored one. */
export interface Comparison {
  readonly name: string;
  /** Null when nothing of that name is stored. */
  readonly stored: number | null;
  /** Null when the short run found nothing of that name. */
  readonly now: number | null;
  /** (now − stored) / stored; null when it cannot be told. */
  readonly difference: number | null;
  readonly noise: number;
  readonly verdict: 'within' | 'worse' | 'better' | 'unknown';
}

type Figures = Pick<Findings, 'rows' | 'ratios'>;

/** Compares each guarded figure; `stored` is null when the bench has no results yet. */
export function compare(
  figures: readonly GuardedFigure[],
  stored: Figures | null,
  now: Figures,
): Comparison[] {
  return figures.map(figure => {
    const { name, noise } = figure;
    const before = stored === null ? null : figureOf(stored, name);
    const found = figureOf(now, name);
    const difference = before === null || found === null || before === 0 ? null : found / before - 1;
    return { name, stored: before, now: found, difference, noise, verdict: verdictOf(figure, difference) };
  });
}

/** That of a ratio, or else the median of a row; null when there is neither, or it is no number. */
function figureOf({ ratios, rows }: Figures, name: string): number | null {
  const value =
    ratios.find(ratio => ratio.name === name)?.value ?? rows.find(row => row.name === name)?.median;
  // JSON has no NaN: a stored one is null.
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function verdictOf({ better, noise }: GuardedFigure, difference: number | null): Comparison['verdict'] {
  if (difference === null) return 'unknown';
  if (Math.abs(difference) <= noise) return 'within';
  return difference < 0 === (better === 'lower') ? 'better' : 'worse';
}

/** The lines of a table, the head first. */
export function tableOf(compared: readonly (Comparison & { readonly bench: string })[]): string[][] {
  return [
    ['', '', 'stored', 'now', 'difference', 'noise', ''],
    ...compared.map(({ bench, name, stored, now, difference, noise, verdict }) => [
      bench,
      name,
      String(stored ?? '–'),
      String(now ?? '–'),
      difference === null ? '–' : `${difference < 0 ? '−' : '+'}${percent(Math.abs(difference))}`,
      `± ${percent(noise)}`,
      markOf(verdict),
    ]),
  ];
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function markOf(verdict: Comparison['verdict']): string {
  switch (verdict) {
    case 'within':
      return '';
    case 'better':
      return 'better';
    case 'worse':
      return 'WORSE';
    case 'unknown':
      return 'not compared';
  }
}
