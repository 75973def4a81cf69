import type { Artifacts } from '../../jobs/ports.ts';
import { findPrivateChunks, type Span, type Stripped, withoutSpans } from './png-metadata.ts';

/** Files whose private parts are remembered: a stored picture never changes. */
const REMEMBERED = 1000;

/** Pictures without what the engine wrote into them of the request. */
export interface StrippedOutputs {
  /** Null when there is no such file. It is read through once, when it is first asked for. */
  of(key: string, size: number): Promise<Stripped | null>;
}

/** Reads from these artifacts. */
export function createStrippedOutputs(artifacts: Artifacts): StrippedOutputs {
  const known = new Map<string, readonly Span[]>();
  return {
    async of(key, size) {
      let spans = known.get(key);
      if (spans === undefined) {
        const content = await artifacts.get(key);
        if (content === null) return null;
        spans = await findPrivateChunks(content);
        const [oldest] = known.keys();
        if (known.size >= REMEMBERED && oldest !== undefined) known.delete(oldest);
        known.set(key, spans);
      }
      return withoutSpans(size, spans);
    },
  };
}
