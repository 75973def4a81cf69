import { type ReadonlySignal, signal } from '@preact/signals';
import type { Client } from '../../client/client.ts';
import type { Session } from '../signin/session.ts';

/** What the page has to say about the gateway as a whole. */
export interface GatewayInfo {
  /** Whether it has no ComfyUI, but the sandbox, which runs no model. */
  readonly sandbox: ReadonlySignal<boolean>;
  load(): Promise<void>;
}

export function createGatewayInfo(client: Client, session: Session): GatewayInfo {
  const sandbox = signal(false);
  return {
    sandbox,
    async load() {
      try {
        sandbox.value = (await client.engines()).some(engine => engine.sandbox);
      } catch (error) {
        // What else failed to load says so.
        session.concerns(error);
      }
    },
  };
}
