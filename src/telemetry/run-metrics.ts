import { Counter, type Registry } from 'prom-client';
import type { RunObserver } from '../dispatch/observer.ts';

/** Counts runs that were taken over, and what looks at engines found that nothing else had told. */
export function createRunMetrics(registry: Registry): RunObserver {
  const registers = [registry];
  const resumed = new Counter({
    name: 'qwen_edit_runs_resumed_total',
    help: 'Runs that were taken over where another gateway, or this one before its restart, had left them',
    labelNames: ['engine'],
    registers,
  });
  const found = new Counter({
    name: 'qwen_edit_reconciliations_total',
    help: 'Looks at an engine that found what no answer or event had told: prompt, start, end or images',
    labelNames: ['engine', 'found'],
    registers,
  });
  return {
    around(step, { engine }, work) {
      if (step === 'resume') resumed.inc({ engine: engine ?? '' });
      return work();
    },
    missed: (engine, what) => found.inc({ engine, found: what }),
  };
}
