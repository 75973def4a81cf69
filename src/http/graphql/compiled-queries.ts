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
  /** A number: how often it was asked for until now. Insertion order is the order of last use. */
  const known = new Map<string, CompiledQuery | number | null>();
  return {
    find(text, check) {
      if (text.length > MAX_TEXT) return null;
      const before = known.get(text);
      const found = typeof before === 'object' ? before : asked((before ?? 0) + 1, check);
      known.delete(text);
      known.set(text, found);
      const oldest = known.keys().next();
      if (known.size > MAX_TEXTS && !oldest.done) known.delete(oldest.value);
      return typeof found === 'number' ? null : found;
    },
  };
}

function asked(times: number, check: () => ValidDocument | null): CompiledQuery | number | null {
  if (times < COMPILED_AT) return times;
  const valid = check();
  return valid === null ? null : compileDocument(valid);
}
