import type { EngineClient } from '../../comfyui/client.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import type { Clock } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import { findPrompt, type PromptName, stopPrompt } from '../run/lookup.ts';

/** Prompts that were given up while their engine was unreachable. */
export interface AbandonedPrompts {
  add(name: PromptName): void;
  /**
   * Stops those that the engine has; `targeted`: it can interrupt a single prompt. Returns how many of them run. What a proxy
   * forbids is tried again. Rejects with EngineUnreachable when the engine is down.
   */
  stop(targeted: boolean): Promise<number>;
}

/** How long a prompt that was given up may still arrive, in milliseconds. */
const ARRIVAL_MS = 60_000;

/** Starts with none. `engine`: its id, for the log. */
export function createAbandoned(
  engine: string,
  { client, now, log }: { readonly client: EngineClient; readonly now: Clock; readonly log: Log },
): AbandonedPrompts {
  /** With the time until which each may arrive. */
  const prompts = new Map<PromptName, number>();
  return {
    add: name => prompts.set(name, now() + ARRIVAL_MS),
    async stop(targeted) {
      let running = 0;
      for (const [name, until] of prompts) {
        try {
          const place = await findPrompt(client, name);
          if (place.kind === 'running') running += 1;
          if (place.kind === 'running' || place.kind === 'pending') {
            await stopPrompt(client, place.promptId, targeted);
          } else if (place.kind === 'ended' || now() > until) {
            prompts.delete(name);
          }
        } catch (error) {
          if (!(error instanceof EngineUnreachable) || error.isDown) throw error;
          log.debug({ engine, ...name, reason: error.message }, 'could not stop a prompt');
        }
      }
      return running;
    },
  };
}
