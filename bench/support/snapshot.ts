/** What a watcher of the measurements asks of a job, as a peer sends it. */
export interface Snapshot {
  readonly id: string;
  readonly status: 'PROCESSING';
  readonly revision: number;
  readonly progress: number;
  readonly stage: 'SAMPLING';
  readonly step: number;
  readonly totalSteps: number;
  readonly etaSeconds: number;
}

/** The job `id` in the middle of its steps. */
export function snapshotOf(id: string, step: number, totalSteps: number): Snapshot {
  return {
    id,
    status: 'PROCESSING',
    revision: step,
    progress: Math.round((step / totalSteps) * 1000) / 10,
    stage: 'SAMPLING',
    step,
    totalSteps,
    etaSeconds: 12.3,
  };
}
