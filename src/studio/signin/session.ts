import { type ReadonlySignal, signal } from '@preact/signals';
import { type Caller, GatewayError } from '../../client/client.ts';
import type { Store } from '../app/storage.ts';
import { texts } from '../texts.ts';

/** The key or token of this tab. It is kept for the tab’s session, never beyond. */
export interface Session {
  readonly key: ReadonlySignal<string | null>;
  /** Whether the gateway has rejected a call for want of a valid key. */
  readonly needed: ReadonlySignal<boolean>;
  /** Whether it was signed out: a sign-in is for the page that replaces this one. */
  readonly ended: ReadonlySignal<boolean>;
  /** How the gateway identifies this page; null: not known yet. */
  readonly caller: ReadonlySignal<Caller | null>;
  /** Asks the gateway how it identifies this page. */
  identify(): Promise<void>;
  /** Tries a key, and keeps it if the gateway accepts it. Resolves with why it was not kept, or null. */
  signIn(key: string): Promise<string | null>;
  /** Forgets the key and what belongs to its caller. What `onSignOut` was given replaces the page. */
  signOut(): Promise<void>;
  /** The headers of every request. */
  headers(): Readonly<Record<string, string>>;
  /** A call was rejected for want of a valid key. Resolves after the next sign-in. */
  require(): Promise<void>;
  /** Whether an error means that a key is needed; then `needed` becomes true. */
  concerns(error: unknown): boolean;
  /** Repeats a call that was rejected for want of a valid key after the next sign-in. Other errors are thrown. */
  insist<T>(call: () => Promise<T>): Promise<T>;
  /** Calls `load` after each sign-in. */
  onSignIn(load: () => void): void;
  /** Calls `forget` at a sign-out. */
  onSignOut(forget: () => Promise<void> | void): void;
}

const UNAUTHORIZED = new Set([401, 4401, 4403]);

/** `store` keeps the key: that of `sessionStorage`. `ask` sends it to the gateway. */
export function createSession(store: Store, ask: () => Promise<Caller>): Session {
  const saved = store.read('key');
  const key = signal(typeof saved === 'string' && saved !== '' ? saved : null);
  const needed = signal(false);
  const ended = signal(false);
  const caller = signal<Caller | null>(null);
  const loads: (() => void)[] = [];
  const forgets: (() => Promise<void> | void)[] = [];
  let waiting: (() => void)[] = [];

  function isUnauthorized(error: unknown): boolean {
    return error instanceof GatewayError && error.status !== null && UNAUTHORIZED.has(error.status);
  }

  function require(): Promise<void> {
    needed.value = true;
    return new Promise(resolve => {
      waiting.push(resolve);
    });
  }

  function concerns(error: unknown): boolean {
    const found = isUnauthorized(error);
    if (found) void askAgain();
    return found;
  }

  /** A key is needed, unless there was a sign-in after the rejected call was sent, or while the gateway is asked. */
  async function askAgain(): Promise<void> {
    const used = key.peek();
    const isRejected = used === null || (await ask().then(() => false, isUnauthorized));
    if (isRejected && key.peek() === used) needed.value = true;
  }

  return {
    key,
    needed,
    ended,
    caller,
    async identify() {
      const used = key.peek();
      try {
        const found = await ask();
        // Else another key is in use meanwhile, of which this says nothing.
        if (key.peek() === used) caller.value = found;
      } catch (error) {
        // What else failed to load says so.
        if (key.peek() === used) concerns(error);
      }
    },
    async signIn(given) {
      const before = key.value;
      key.value = given;
      try {
        caller.value = await ask();
      } catch (error) {
        key.value = before;
        return isUnauthorized(error) ? texts.signin.rejected : texts.failure(error);
      }
      store.write('key', given);
      needed.value = false;
      const resumed = waiting;
      waiting = [];
      for (const load of loads) load();
      for (const resume of resumed) resume();
      return null;
    },
    async signOut() {
      ended.value = true;
      key.value = null;
      caller.value = null;
      waiting = [];
      store.write('key', undefined);
      for (const forget of forgets) await forget();
    },
    headers(): Readonly<Record<string, string>> {
      return key.peek() === null ? {} : { authorization: `Bearer ${key.peek()}` };
    },
    require,
    concerns,
    async insist(call) {
      for (;;) {
        const used = key.peek();
        try {
          return await call();
        } catch (error) {
          if (!isUnauthorized(error)) throw error;
          // Else there was a sign-in meanwhile.
          if (key.peek() === used) await require();
        }
      }
    },
    onSignIn(load) {
      loads.push(load);
    },
    onSignOut(forget) {
      forgets.push(forget);
    },
  };
}
