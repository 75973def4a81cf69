import { z } from 'zod';
import { type Random, seededRandom } from './random.ts';

const milliseconds = z.number().min(0).max(3_600_000);

/** What POST /sandbox/faults takes. A key that is left out stays as it was; `{}` clears everything. */
export const faultsSchema = z.strictObject({
  /** Closes every open socket once, without a close frame (1006). */
  dropSockets: z.boolean().optional(),
  /** The sockets that are open now stay open and hear nothing more. */
  deafSockets: z.boolean().optional(),
  /** Event types never sent; `executing_null` is the one that ends a prompt, `preview` the binary frames. */
  loseEvents: z.array(z.string()).optional(),
  /** The share of events that are lost, from 0 to 1, chosen with `seed`. */
  loseRate: z.number().min(0).max(1).optional(),
  seed: z.number().int().optional(),
  /** The process "ends": queue, history and cache forgotten, sockets and connections cut, for `restartMs`. */
  restart: z.boolean().optional(),
  restartMs: milliseconds.optional(),
  /** So many of the next samplings fail for want of memory. */
  outOfMemory: z.number().int().min(0).optional(),
  /** Every sampling fails for want of memory until somebody calls POST /free. */
  outOfMemoryUntilFree: z.boolean().optional(),
  /** Nodes of this class raise this message. */
  failNode: z.object({ class: z.string(), message: z.string() }).nullable().optional(),
  /** A history entry shows up only so long after the prompt's end. */
  lateHistory: milliseconds.optional(),
  /** Every HTTP answer waits so long. */
  slowHttp: milliseconds.optional(),
  /** For so long from now, HTTP connections are cut without an answer. */
  refuseHttp: milliseconds.optional(),
  /** The worker stops where it is while HTTP goes on answering. */
  hang: z.boolean().optional(),
  /** So many of the next accepted prompts lose the connection before their answer. */
  losePromptAnswer: z.number().int().min(0).optional(),
  /** The process "ends" each time a prompt whose text holds this reaches its sampler. */
  crashOnPrompt: z.string().nullable().optional(),
  /** Mean milliseconds of a sampling step from now on. */
  stepMs: milliseconds.optional(),
});

export type FaultsRequest = z.infer<typeof faultsSchema>;

/** The faults in force. The parts that use one count it down or read it here. */
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
  crashOnPrompt: string | null;
  stepMs: number;
}

/** No faults; a sampling step takes `stepMs` milliseconds. */
export function noFaults(stepMs: number): Faults {
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
    crashOnPrompt: null,
    stepMs,
  };
}

/** Puts the lasting faults of a request in force; the momentary ones (drop, deaf, restart) are the caller's to do. */
export function applyFaults(faults: Faults, request: FaultsRequest, now: number): void {
  faults.loseEvents = request.loseEvents ? new Set(request.loseEvents) : faults.loseEvents;
  faults.loseRate = request.loseRate ?? faults.loseRate;
  if (request.seed !== undefined) faults.random = seededRandom(request.seed);
  faults.outOfMemory = request.outOfMemory ?? faults.outOfMemory;
  faults.outOfMemoryUntilFree = request.outOfMemoryUntilFree ?? faults.outOfMemoryUntilFree;
  if (request.failNode !== undefined) faults.failNode = request.failNode;
  faults.lateHistory = request.lateHistory ?? faults.lateHistory;
  faults.slowHttp = request.slowHttp ?? faults.slowHttp;
  if (request.refuseHttp !== undefined) faults.refuseHttpUntil = now + request.refuseHttp;
  faults.hang = request.hang ?? faults.hang;
  faults.losePromptAnswer = request.losePromptAnswer ?? faults.losePromptAnswer;
  if (request.crashOnPrompt !== undefined) faults.crashOnPrompt = request.crashOnPrompt;
  faults.stepMs = request.stepMs ?? faults.stepMs;
}

/** True when this event is to be lost. `type` is the event's, or `executing_null`, or `preview`. */
export function losesEvent(faults: Faults, type: string): boolean {
  if (faults.loseEvents.has(type)) return true;
  return faults.loseRate > 0 && faults.random() < faults.loseRate;
}
