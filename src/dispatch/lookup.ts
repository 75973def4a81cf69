import { setTimeout as delay } from 'node:timers/promises';
import type { HistoryEntry } from '../comfyui/answers.ts';
import type { EngineClient } from '../comfyui/client.ts';

/** Where a prompt is, by the engine's own account. */
export type Whereabouts =
  | { kind: 'pending'; ahead: number }
  | { kind: 'running' }
  | { kind: 'ended'; entry: HistoryEntry }
  /** Neither waiting nor running nor in the history, twice. */
  | { kind: 'absent' };

/** Between the two looks before a prompt counts as lost. */
const SECOND_LOOK_MS = 250;

/**
 * Asks the engine where a prompt is: queue first, then history, since a prompt moves only that way; and twice
 * before it counts as absent, since it may move between the two questions. Throws EngineUnreachable.
 */
export async function findPrompt(client: EngineClient, promptId: string): Promise<Whereabouts> {
  const first = await look(client, promptId);
  if (first.kind !== 'absent') return first;
  await delay(SECOND_LOOK_MS);
  return look(client, promptId);
}

async function look(client: EngineClient, promptId: string): Promise<Whereabouts> {
  const queue = await client.queue();
  if (queue.running.includes(promptId)) return { kind: 'running' };
  const place = queue.pending.indexOf(promptId);
  if (place >= 0) return { kind: 'pending', ahead: place + queue.running.length };
  const entry = await client.history(promptId);
  return entry === null ? { kind: 'absent' } : { kind: 'ended', entry };
}

/**
 * One try to make the engine let go of a prompt: out of its queue, or interrupted if it runs. On an engine that
 * cannot target an interrupt, only after a fresh look at the queue shows that ours is the one that runs. Whether
 * it worked shows only by looking again: no event comes for a deleted prompt, and an interrupt can be lost
 * (`execution.py` clears the flag when a prompt starts). Throws EngineUnreachable.
 */
export async function stopPrompt(client: EngineClient, promptId: string, targeted: boolean): Promise<void> {
  await client.deletePending(promptId);
  if (!targeted) {
    const { running } = await client.queue();
    if (!running.includes(promptId)) return;
  }
  await client.interrupt(promptId);
}
