import { setTimeout as delay } from 'node:timers/promises';
import type { HistoryEntry } from '../comfyui/answers.ts';
import type { EngineClient } from '../comfyui/client.ts';

/** Where a prompt is, according to the engine. */
export type Whereabouts =
  | { kind: 'pending'; ahead: number }
  | { kind: 'running' }
  | { kind: 'ended'; entry: HistoryEntry }
  /** Neither pending nor running nor in the history, twice. */
  | { kind: 'absent' };

/** Between the two looks before a prompt counts as absent. */
const SECOND_LOOK_MS = 250;

/**
 * Asks the engine where a prompt is: first its queue, then its history, because a prompt moves only that way; and twice
 * before it counts as absent, because it may move between the two requests. Throws EngineUnreachable.
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
 * Tries once to stop a prompt: deletes it from the queue, or interrupts it if it runs. An engine that cannot target an
 * interrupt is interrupted only if its queue shows that this prompt runs. Only another look shows whether it worked: there
 * is no event for a deleted prompt, and an interrupt can be lost (`execution.py` clears the flag when a prompt starts).
 * Throws EngineUnreachable.
 */
export async function stopPrompt(client: EngineClient, promptId: string, targeted: boolean): Promise<void> {
  await client.deletePending(promptId);
  if (!targeted) {
    const { running } = await client.queue();
    if (!running.includes(promptId)) return;
  }
  await client.interrupt(promptId);
}
