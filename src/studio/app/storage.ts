/** Values kept by the browser under names of the page’s own, as JSON. */
export interface Store {
  /** Undefined: absent, or not readable. The caller checks its shape. */
  read(name: string): unknown;
  /** Undefined removes it. Has no effect where the browser keeps nothing, as in some private windows. */
  write(name: string, value: unknown): void;
}

const PREFIX = 'qwen-studio.';

/** Keeps values in `area`, such as `localStorage`. It is a function because some browsers throw on access. */
export function createStore(area: () => Storage): Store {
  return {
    read(name) {
      try {
        const text = area().getItem(PREFIX + name);
        return text === null ? undefined : JSON.parse(text);
      } catch {
        // Storage is off, or another program wrote the value: as good as absent.
        return undefined;
      }
    },
    write(name, value) {
      try {
        if (value === undefined) area().removeItem(PREFIX + name);
        else area().setItem(PREFIX + name, JSON.stringify(value));
      } catch {
        // Storage is off or full: the page works without it.
      }
    },
  };
}

/** Whether a value of unknown shape is an object with fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
