import { randomUUID } from 'node:crypto';
import type { EngineClient } from '../../comfyui/client.ts';
import { type EngineSocket, type EngineSocketOptions, openEngineSocket } from '../../comfyui/socket.ts';
import type { Log } from '../../log.ts';

/** See EngineSocketOptions. */
export type RunSocketOptions = Pick<EngineSocketOptions, 'onEvent' | 'onClose'> & {
  readonly signal: AbortSignal;
};

/** The WebSockets of an engine. One that opens none is followed by polling. */
export interface EngineSockets {
  /** Opens one for the events of prompts with this client id. Rejects with EngineUnreachable. */
  open(clientId: string, options: RunSocketOptions): Promise<EngineSocket>;
  /** Why none opens; null when they do, as far as is known. */
  deaf(): string | null;
  /** The engine has just answered a probe: tests whether one opens, if that is not known. Never rejects. */
  test(signal: AbortSignal): void;
  /** Resolves when no test is in flight. */
  settled(): Promise<void>;
}

/** Starts to test with the first call of `test`. */
export function createEngineSockets(options: {
  readonly engine: string;
  readonly client: Pick<EngineClient, 'socketUrl'>;
  /** Whether the engine answers with the features that it has. */
  readonly answersFlags: () => boolean;
  readonly isDown: () => boolean;
  readonly log: Log;
}): EngineSockets {
  const { engine, client, log } = options;
  let deaf: string | null = null;
  let isUnknown = true;
  let testing: Promise<void> | null = null;

  async function open(clientId: string, run: RunSocketOptions): Promise<EngineSocket> {
    try {
      const url = client.socketUrl(clientId);
      const socket = await openEngineSocket({ ...url, answersFlags: options.answersFlags(), ...run });
      if (deaf !== null) log.info({ engine }, 'the WebSocket of the engine opens again');
      deaf = null;
      isUnknown = false;
      return socket;
    } catch (error) {
      // The engine itself may be away: the next probe that it answers tells.
      isUnknown = true;
      throw error;
    }
  }

  async function tryOne(signal: AbortSignal): Promise<void> {
    const ignore = (): void => undefined;
    try {
      const socket = await open(`probe-${randomUUID()}`, { onEvent: ignore, onClose: ignore, signal });
      await socket.close();
    } catch (error) {
      if (signal.aborted || options.isDown()) return;
      const reason = error instanceof Error ? error.message : String(error);
      if (deaf === null) log.warn({ engine, reason }, 'jobs of the engine run without steps and previews');
      deaf = `${reason}; jobs run without steps and previews`;
    }
  }

  return {
    open,
    deaf: () => deaf,
    test(signal) {
      if (!isUnknown && deaf === null) return;
      testing ??= tryOne(signal).finally(() => {
        testing = null;
      });
    },
    async settled() {
      await testing;
    },
  };
}
