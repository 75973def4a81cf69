import { setTimeout as delay } from 'node:timers/promises';
import type { EnginePrompt, HistoryEntry } from '../../comfyui/answers.ts';
import type { EngineClient } from '../../comfyui/client.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';

/** How a run's prompt is named on its engine. */
export interface PromptName {
  /** The id that the engine answered with, or the requested one as long as no answer came. */
  readonly promptId: string;
  /** The client id of the submit: it finds a prompt that the engine gave another id. */
  readonly clientId: string;
  /** Whether the engine is known to use `promptId`. */
  readonly confirmed: boolean;
}

/** Where a prompt is, according to the engine. `promptId` is the engine's id. */
export type Whereabouts =
  | { kind: 'pending'; ahead: number; promptId: string }
  | { kind: 'running'; promptId: string }
  | { kind: 'ended'; entry: HistoryEntry; promptId: string }
  /** Neither pending nor running nor in the history, twice. */
  | { kind: 'absent' }
  /** Neither pending nor running; the history cannot be read. */
  | { kind: 'unread'; reason: string }
  /** The queue cannot be read, and the history does not have it or cannot be read either. */
  | { kind: 'hidden'; reason: string };

/** Between the two looks before a prompt counts as absent. */
const SECOND_LOOK_MS = 250;

/**
 * Asks the engine where a prompt is: first its queue, then its history, because a prompt moves only that way; and twice
 * before it counts as absent, because it may move between the two requests. Throws EngineUnreachable when the engine does
 * not respond; what a proxy forbids is a result.
 */
export async function findPrompt(client: EngineClient, name: PromptName): Promise<Whereabouts> {
  const first = await look(client, name);
  if (first.kind !== 'absent') return first;
  await delay(SECOND_LOOK_MS);
  return look(client, name);
}

async function look(client: EngineClient, name: PromptName): Promise<Whereabouts> {
  const queue = await answerOf(client.queue());
  if (!(queue instanceof EngineUnreachable)) {
    const isOurs = ({ id, clientId }: EnginePrompt) => id === name.promptId || clientId === name.clientId;
    const running = queue.running.find(isOurs);
    if (running !== undefined) return { kind: 'running', promptId: running.id };
    const place = queue.pending.findIndex(isOurs);
    const pending = queue.pending[place];
    if (pending !== undefined) {
      return { kind: 'pending', ahead: place + queue.running.length, promptId: pending.id };
    }
  }
  const found = await answerOf(findEntry(client, name));
  if (!(found instanceof EngineUnreachable) && found !== null) return { kind: 'ended', ...found };
  if (queue instanceof EngineUnreachable) return { kind: 'hidden', reason: queue.message };
  return found === null ? { kind: 'absent' } : { kind: 'unread', reason: found.message };
}

async function findEntry(
  client: EngineClient,
  { promptId, clientId, confirmed }: PromptName,
): Promise<{ entry: HistoryEntry; promptId: string } | null> {
  const entry = await client.history(promptId);
  if (entry !== null) return { entry, promptId };
  const own = confirmed ? null : await client.historyOf(clientId);
  const other = own === null ? null : await client.history(own);
  return own === null || other === null ? null : { entry: other, promptId: own };
}

/** The answer, or the error with which the engine or a proxy answered. Throws when there was no response. */
async function answerOf<T>(request: Promise<T>): Promise<T | EngineUnreachable> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof EngineUnreachable && !error.isDown) return error;
    throw error;
  }
}

/**
 * Tries once to stop a prompt: deletes it from the queue, or interrupts it if it runs. An engine that cannot target an
 * interrupt is interrupted only if its queue shows that this prompt runs. Only another look shows whether it worked: there
 * is no event for a deleted prompt, and an interrupt can be lost (`execution.py` clears the flag when a prompt starts).
 * Throws EngineUnreachable when one of the requests failed, after it tried the others.
 */
export async function stopPrompt(client: EngineClient, promptId: string, targeted: boolean): Promise<void> {
  const deleted = await answerOf(client.deletePending(promptId));
  if (targeted || (await client.queue()).running.some(({ id }) => id === promptId)) {
    await client.interrupt(promptId);
  }
  if (deleted instanceof EngineUnreachable) throw deleted;
}
