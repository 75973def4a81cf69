import type { HistoryEntry, HistoryOutcome } from '../../comfyui/answers.ts';
import type { EngineEvent } from '../../comfyui/events.ts';
import type { EngineFile } from '../../comfyui/files.ts';

/**
 * What the events of one prompt said of its end. The history says the same and is read first; events stand in where it
 * has no entry, because it was cleared or a proxy blocks it.
 */
export interface Evidence {
  /** Takes in an event of the prompt. */
  take(event: EngineEvent): void;
  /**
   * What the history would say: null as long as the events tell of no end. A prompt has succeeded when its output node has
   * finished, because that node has stored its files by then.
   */
  entry(outputNode: string): HistoryEntry | null;
}

/** Starts with no events. */
export function collectEvidence(): Evidence {
  let outcome: HistoryOutcome | null = null;
  const files: Record<string, readonly EngineFile[]> = {};
  return {
    take(event) {
      switch (event.type) {
        case 'executed':
          files[event.node] = event.files;
          return;
        case 'failed':
          outcome = { kind: 'failed', failure: event.failure };
          return;
        case 'interrupted':
          outcome = { kind: 'interrupted' };
          return;
        default:
          return;
      }
    },
    entry(outputNode) {
      if (outcome !== null) return { outcome, files };
      return (files[outputNode]?.length ?? 0) > 0 ? { outcome: { kind: 'succeeded' }, files } : null;
    },
  };
}
