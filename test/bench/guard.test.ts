import { describe, expect, it } from 'vitest';
import { compare, tableOf } from '../../bench/support/guard.ts';
import { type GuardedFigure, judged, row } from '../../bench/support/measurement.ts';

const stored = {
  rows: [row('CPU', 'ms', [2])],
  ratios: [judged('ours over theirs', 1.5), judged('rate over theirs', 0.8), judged('nothing', 0)],
};

function verdicts(figures: readonly GuardedFigure[], now: Partial<typeof stored>) {
  return compare(figures, stored, { rows: [], ratios: [], ...now }).map(({ verdict }) => verdict);
}

describe('the guard of the benchmarks', () => {
  const cost: GuardedFigure = { name: 'ours over theirs', better: 'lower', noise: 0.2 };
  const rate: GuardedFigure = { name: 'rate over theirs', better: 'higher', noise: 0.2 };

  it('leaves a figure unmarked within its noise, on both sides', () => {
    for (const value of [1.21, 1.5, 1.79]) {
      expect(verdicts([cost], { ratios: [judged('ours over theirs', value)] })).toEqual(['within']);
    }
  });

  it('marks what is beyond the noise by the side that is better for the figure', () => {
    const doubled = { ratios: [judged('ours over theirs', 3), judged('rate over theirs', 1.6)] };
    expect(verdicts([cost, rate], doubled)).toEqual(['worse', 'better']);
    const halved = { ratios: [judged('ours over theirs', 0.75), judged('rate over theirs', 0.4)] };
    expect(verdicts([cost, rate], halved)).toEqual(['better', 'worse']);
  });

  it('compares the median of a row where no ratio has the name', () => {
    const cpu: GuardedFigure = { name: 'CPU', better: 'lower', noise: 0.2 };
    expect(verdicts([cpu], { rows: [row('CPU', 'ms', [2, 3, 9])] })).toEqual(['worse']);
  });

  it('says that a figure is not compared when either side lacks it, or 0 is stored', () => {
    const figures = ['ours over theirs', 'new', 'nothing'].map(name => ({ ...cost, name }));
    expect(verdicts(figures, { ratios: [judged('new', 1), judged('nothing', 1)] })).toEqual(
      Array(3).fill('unknown'),
    );
    expect(compare([cost], null, stored)).toMatchObject([{ stored: null, now: 1.5, verdict: 'unknown' }]);
  });

  it('prints stored, now, difference, noise and mark', () => {
    const compared = compare([cost, rate], stored, { rows: [], ratios: [judged('ours over theirs', 3)] });
    const [, ...lines] = tableOf(compared.map(one => ({ ...one, bench: 'fanout' })));
    expect(lines).toEqual([
      ['fanout', 'ours over theirs', '1.5', '3', '+100 %', '± 20 %', 'WORSE'],
      ['fanout', 'rate over theirs', '0.8', '–', '–', '± 20 %', 'not compared'],
    ]);
  });
});
