import { z } from 'zod';
import { FOLDER_TYPES, type FolderType } from './files.ts';
import { type Random, seededRandom } from './random.ts';

const milliseconds = z.number().min(0).max(3_600_000);
const folders = z.array(z.enum(FOLDER_TYPES));

/** The body of POST /sandbox/faults. An omitted key stays as it is; `{}` clears all faults. */
export const faultsSchema = z.strictObject({
  /** Closes every open socket once, without a close frame (1006). */
  dropSockets: z.boolean().optional(),
  /** Sockets that are open now stay open but receive nothing more. */
  deafSockets: z.boolean().optional(),
  /** Event types never sent. `executing_null` is the event that ends a prompt, `preview` the binary frames. */
  loseEvents: z.array(z.string()).optional(),
  /** The share of events lost, from 0 to 1, chosen with `seed`. */
  loseRate: z.number().min(0).max(1).optional(),
  seed: z.number().int().optional(),
  /** Simulates a process restart that takes `restartMs`: queue, history and cache are lost, connections closed. */
  restart: z.boolean().optional(),
  restartMs: milliseconds.optional(),
  /** Deletes all files of these folders once. With `restart` the engine comes back as a new machine. */
  emptyFolders: folders.optional(),
  /**
   * What happens right before the next requests of one kind, `times` of them: the files of some folders are deleted, and
   * a restart is simulated. GET /view comes after a client has read the history, POST /prompt after its uploads.
   */
  beforeRequest: z
    .strictObject({
      request: z.enum(['GET /view', 'POST /prompt']),
      times: z.number().int().min(1).default(1),
      emptyFolders: folders.default([]),
      restart: z.boolean().default(false),
    })
    .nullable()
    .optional(),
  /** The number of samplings that fail next, out of memory. */
  outOfMemory: z.number().int().min(0).optional(),
  /** Every sampling fails, out of memory, until POST /free. */
  outOfMemoryUntilFree: z.boolean().optional(),
  /** Nodes of this class raise this message. */
  failNode: z.object({ class: z.string(), message: z.string() }).nullable().optional(),
  /** Milliseconds from a prompt's end until its history entry is visible. */
  lateHistory: milliseconds.optional(),
  /** Delays every HTTP response. */
  slowHttp: milliseconds.optional(),
  /** HTTP connections are closed without a response for this long from now. */
  refuseHttp: milliseconds.optional(),
  /** The worker stops where it is, while HTTP keeps responding. */
  hang: z.boolean().optional(),
  /** The number of prompts accepted next whose connection is closed before the response. */
  losePromptAnswer: z.number().int().min(0).optional(),
  /** Simulates a restart each time a prompt whose text contains this reaches its sampler. */
  crashOnPrompt: z.string().nullable().optional(),
  /** Mean milliseconds of a sampling step from now on. */
  stepMs: milliseconds.optional(),
  /** Milliseconds to load a diffusion model. One is in memory: a prompt with another one loads it in its place. */
  modelLoadMs: milliseconds.optional(),
  /**
   * What nodes take by class, within 5 %; of a sampler, each step. `loadMs` is added when a node of the class runs for the
   * first time since the start, a restart or POST /free. Other classes take no time. Null: `stepMs` decides.
   */
  durations: z
    .record(z.string(), z.strictObject({ ms: milliseconds, loadMs: milliseconds.default(0) }))
    .nullable()
    .optional(),
});

export type FaultsRequest = z.infer<typeof faultsSchema>;

/** What happens right before a request of one kind. */
export interface BeforeRequest {
  readonly request: string;
  /** How many requests are left that it precedes. */
  readonly times: number;
  readonly emptyFolders: readonly FolderType[];
  readonly restart: boolean;
}

/** The active faults. The code that a fault concerns reads it here, and counts it down. */
export interface Faults {
  loseEvents: ReadonlySet<string>;
  loseRate: number;
  random: Random;
  outOfMemory: number;
  outOfMemoryUntilFree: boolean;
  failNode: { class: string; message: string } | null;
  lateHistory: number;
  slowHttp: number;
  /** Milliseconds since the epoch. */
  refuseHttpUntil: number;
  hang: boolean;
  losePromptAnswer: number;
  beforeRequest: BeforeRequest | null;
  crashOnPrompt: string | null;
  stepMs: number;
  modelLoadMs: number;
  durations: Readonly<Record<string, { ms: number; loadMs: number }>> | null;
}

/** No faults; a sampling step takes `stepMs` milliseconds, and to load a model `modelLoadMs`. */
export function noFaults(stepMs: number, modelLoadMs = 0): Faults {
  return {
    loseEvents: new Set(),
    loseRate: 0,
    random: seededRandom(1),
    outOfMemory: 0,
    outOfMemoryUntilFree: false,
    failNode: null,
    lateHistory: 0,
    slowHttp: 0,
    refuseHttpUntil: 0,
    hang: false,
    losePromptAnswer: 0,
    beforeRequest: null,
    crashOnPrompt: null,
    stepMs,
    modelLoadMs,
    durations: null,
  };
}

/** Activates the lasting faults of a request; the caller executes the immediate ones (drop, deaf, empty, restart). */
export function applyFaults(faults: Faults, request: FaultsRequest, now: number): void {
  const { loseEvents, seed, refuseHttp, ...others } = request;
  const { dropSockets, deafSockets, emptyFolders, restart, restartMs, ...rest } = others;
  Object.assign(faults, rest);
  if (loseEvents !== undefined) faults.loseEvents = new Set(loseEvents);
  if (seed !== undefined) faults.random = seededRandom(seed);
  if (refuseHttp !== undefined) faults.refuseHttpUntil = now + refuseHttp;
}

/** Whether to lose this event. `type` is the event's, or `executing_null`, or `preview`. */
export function losesEvent(faults: Faults, type: string): boolean {
  if (faults.loseEvents.has(type)) return true;
  return faults.loseRate > 0 && faults.random() < faults.loseRate;
}
