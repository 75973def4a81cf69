export type CheckName =
  | 'settings'
  | 'gateway'
  | 'workflows'
  | 'store'
  | 'images'
  | 'disk'
  | 'engine'
  | 'previews'
  | 'wake'
  | 'proxy'
  | 'tokens'
  | 'clock';

/** `warning`: works, but not as well as it could. `wrong`: jobs are rejected, wait for ever or may be lost. */
export type CheckState = 'ok' | 'warning' | 'wrong';

/** What a check found. */
export interface Check {
  readonly check: CheckName;
  /** What was checked: a setting, an engine, a folder or an address without credentials. */
  readonly target: string | null;
  readonly state: CheckState;
  readonly message: string;
  /** What to do about it, one step each; empty for `ok`. */
  readonly fix: readonly string[];
}

/** Makes the results of a check of one target. */
export interface Reporter {
  ok(message: string): Check;
  warning(message: string, ...fix: readonly string[]): Check;
  wrong(message: string, ...fix: readonly string[]): Check;
}

export function reporter(check: CheckName, target: string | null): Reporter {
  return {
    ok: message => ({ check, target, state: 'ok', message, fix: [] }),
    warning: (message, ...fix) => ({ check, target, state: 'warning', message, fix }),
    wrong: (message, ...fix) => ({ check, target, state: 'wrong', message, fix }),
  };
}

/** The message of an error; its code where it has no message, as a refused connection to several addresses. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  return 'code' in error ? String(error.code) : error.name;
}
