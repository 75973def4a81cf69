import { LRUCache } from 'lru-cache';
import { type CompiledQuery, compileDocument, type ValidDocument } from './compile.ts';

/** Keeps what was compiled, by the text of its document. */
export interface CompiledQueries {
  /**
   * Null: the document is executed the usual way, because it cannot be compiled or was not asked for often enough.
   * `check` gives it parsed, or null when it is not valid or over a limit; its answer is kept too.
   */
  find(text: string, check: () => ValidDocument | null): CompiledQuery | null;
}

/** To compile takes as long as to execute some dozen times: it waits until a document is there for the third time. */
const COMPILED_AT = 3;
/** An application has some dozens of documents. This many of the longest are 4 MiB, their code about as much. */
const MAX_TEXTS = 256;
/** Characters. What is compiled at most, 200 fields, is half of it when each has a name as long as ours have. */
const MAX_TEXT = 8 * 1024;

/** Nothing is compiled yet. The texts that were asked for least lately make room for others. */
export function createCompiledQueries(): CompiledQueries {
  const known = new LRUCache<string, Found>({ max: MAX_TEXTS });
  return {
    find(text, check) {
      if (text.length > MAX_TEXT) return null;
      let found = known.get(text) ?? 0;
      if (typeof found === 'number') {
        found = asked(found + 1, check);
        known.set(text, found);
      }
      return typeof found === 'object' ? found : null;
    },
  };
}

/** What is known of a text: that it cannot be compiled, or how often it was asked for until now. */
type Found = CompiledQuery | 'never' | number;

function asked(times: number, check: () => ValidDocument | null): Found {
  if (times < COMPILED_AT) return times;
  const valid = check();
  return (valid === null ? null : compileDocument(valid)) ?? 'never';
}
