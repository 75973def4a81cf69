import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { measure, type NodeReport, observe, startProgress } from '../../src/jobs/progress.ts';
import type { ProgressPlan } from '../../src/workflows/bind/plan.ts';

const plan: ProgressPlan = {
  nodes: {
    load: { stage: 'LOADING', weight: 1 },
    encode: { stage: 'ENCODING', weight: 2 },
    sample: { stage: 'SAMPLING', weight: 16 },
    decode: { stage: 'DECODING', weight: 0.7 },
    save: { stage: 'SAVING', weight: 0.3 },
  },
  samplerNodes: ['sample'],
};
const node = fc.constantFrom(...Object.keys(plan.nodes), 'stranger');
const report: fc.Arbitrary<NodeReport> = fc.oneof(
  fc.record({ kind: fc.constant('cached' as const), nodes: fc.array(node, { maxLength: 3 }) }),
  fc.record({ kind: fc.constant('executing' as const), node }),
  fc.record({ kind: fc.constant('finished' as const), node }),
  fc.record({
    kind: fc.constant('stepped' as const),
    node,
    value: fc.integer({ min: -1, max: 30 }),
    max: fc.integer({ min: 0, max: 20 }),
  }),
);

describe('progress', () => {
  it('stays within 0 and 100 whatever an engine reports', () => {
    fc.assert(
      fc.property(fc.array(report, { maxLength: 50 }), reports => {
        const { progress } = measure(reports.reduce(observe, startProgress(plan)));
        expect(progress).toBeGreaterThanOrEqual(0);
        expect(progress).toBeLessThanOrEqual(100);
      }),
    );
  });

  it('reports the same numbers for an engine that sends only `executing` and `progress`, and for one that sends states', () => {
    const legacy: NodeReport[] = [];
    const stateful: NodeReport[] = [];
    for (const name of Object.keys(plan.nodes)) {
      legacy.push({ kind: 'executing', node: name });
      stateful.push({ kind: 'executing', node: name });
      for (let value = 1; name === 'sample' && value <= 4; value += 1) {
        legacy.push({ kind: 'stepped', node: name, value, max: 4 });
        stateful.push({ kind: 'stepped', node: name, value, max: 4 });
      }
      stateful.push({ kind: 'finished', node: name });
    }
    const seen = (reports: readonly NodeReport[]): number[] => {
      let state = startProgress(plan);
      return reports.flatMap(next => {
        state = observe(state, next);
        return next.kind === 'finished' ? [] : [measure(state).progress];
      });
    };
    expect(seen(legacy)).toEqual(seen(stateful));
    expect(seen(legacy)).toEqual([...seen(legacy)].sort((a, b) => a - b));
  });

  it('counts cached nodes as done and steps only of the sampler', () => {
    const state = [
      { kind: 'cached', nodes: ['load', 'encode'] } as const,
      { kind: 'stepped', node: 'sample', value: 8, max: 16 } as const,
    ].reduce<ReturnType<typeof startProgress>>(observe, startProgress(plan));
    expect(measure(state)).toEqual({
      progress: 55.00000000000001,
      stage: 'SAMPLING',
      step: 8,
      totalSteps: 16,
    });
  });
});
