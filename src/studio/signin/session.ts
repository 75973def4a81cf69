import { type ReadonlySignal, signal } from '@preact/signals';
import { GatewayError } from '../../client/client.ts';
import type { Store } from '../app/storage.ts';

/** The key or token of this tab. It is kept for the tab’s session, never beyond. */
export interface Session {
  readonly key: ReadonlySignal<string | null>;
  /** Whether the gateway has rejected a call for want of a valid key. */
  readonly needed: ReadonlySignal<boolean>;
  signIn(key: string): void;
  signOut(): void;
  /** The headers of every request. */
  headers(): Readonly<Record<string, string>>;
  /** A call was rejected for want of a valid key. */
  require(): void;
  /** Whether an error means that a key is needed; then `needed` becomes true. */
  concerns(error: unknown): boolean;
  /** Calls `load` after each sign-in. */
  onSignIn(load: () => void): void;
}

const UNAUTHORIZED = new Set([401, 4401, 4403]);

/** `store` keeps the key: that of `sessionStorage`. */
export function createSession(store: Store): Session {
  const saved = store.read('key');
  const key = signal(typeof saved === 'string' && saved !== '' ? saved : null);
  const needed = signal(false);
  const loads: (() => void)[] = [];
  return {
    key,
    needed,
    signIn(given) {
      key.value = given;
      needed.value = false;
      store.write('key', given);
      for (const load of loads) load();
    },
    signOut() {
      key.value = null;
      needed.value = true;
      store.write('key', undefined);
    },
    headers(): Readonly<Record<string, string>> {
      return key.peek() === null ? {} : { authorization: `Bearer ${key.peek()}` };
    },
    require() {
      needed.value = true;
    },
    concerns(error) {
      const found = error instanceof GatewayError && error.status !== null && UNAUTHORIZED.has(error.status);
      if (found) needed.value = true;
      return found;
    },
    onSignIn(load) {
      loads.push(load);
    },
  };
}
