import type { Faults } from '../faults.ts';
import type { EngineFiles } from '../files.ts';
import { Dropped, Interrupted, NodeFailure, outOfMemory } from '../nodes/failures.ts';
import { seededRandom } from '../random.ts';
import type { SocketHub } from '../wire/socket.ts';
import { createNodeCache } from './caching.ts';
import { ownerOf, type RunContext, type RunOutcome, runPrompt } from './executor.ts';
import { DanglingLink } from './order.ts';
import { createPause } from './pause.ts';
import type { PromptQueue, QueueItem } from './queue.ts';
import { count, now, type Stats } from './stats.ts';

/** The one worker that runs prompts, one at a time (`main.py`, prompt_worker). */
export interface Worker {
  /** Something waits, or a fault has changed: look again. */
  wake(): void;
  /** Stops what runs now at the next place where it looks; nothing when nothing runs. */
  interrupt(): void;
  /** Drops the node cache before the next prompt. */
  free(): void;
  /** Drops what runs and forgets the cache; stands still until `resume`. */
  halt(): void;
  resume(): void;
  /** The node at work of the running prompt, and whose prompt it is. */
  current(): { node: string | null; owner: string | null };
  /** Ends the worker for good. */
  stop(): Promise<void>;
}

export interface WorkerOptions {
  readonly queue: PromptQueue;
  readonly hub: SocketHub;
  readonly files: EngineFiles;
  readonly faults: Faults;
  readonly stats: Stats;
  readonly progressStates: boolean;
  readonly listsCachedOutputs: boolean;
  /** Whether an interrupt is noticed within a step (0.8.0: in each layer) or only at its end. */
  readonly interruptsWithinStep: boolean;
  isOutput(classType: string): boolean;
  /** Called when a fault wants the engine to start again. */
  onCrash(): void;
}

/** How far a step's time strays from the mean, each way. */
const JITTER = 0.1;

/** Starts working at once. */
export function startWorker(options: WorkerOptions): Worker {
  const { queue, hub, files, faults, stats } = options;
  const cache = createNodeCache();
  const pause = createPause();
  const random = seededRandom(7);
  let interrupted = false;
  let halted = false;
  let stopped = false;
  // Rises with each halt: a run that began before it is dropped.
  let life = 0;
  let dead = false;
  let clearCache = false;
  let node: string | null = null;
  let owner: string | null = null;

  function status(): void {
    hub.send('status', { status: { exec_info: { queue_remaining: queue.remaining() } } }, null);
  }

  function contextOf(born: number): RunContext {
    // Time asked for and not yet slept: drawing a preview takes time, which counts as part of its step.
    let due = now();
    const look = async (): Promise<void> => {
      while (faults.hang && !stopped && life === born) await pause.parked();
      if (stopped || life !== born) throw new Dropped();
      if (!interrupted) return;
      interrupted = false;
      throw new Interrupted();
    };
    return {
      hub,
      cache,
      files,
      progressStates: options.progressStates,
      hurried: faults.stepMs === 0,
      isOutput: options.isOutput,
      listsCachedOutputs: options.listsCachedOutputs,
      checkpoint: look,
      assertAlive() {
        if (stopped || life !== born) throw new Dropped();
      },
      async work(steps) {
        const span = steps * faults.stepMs * (1 - JITTER + 2 * JITTER * random());
        due = Math.max(due + span, now());
        for (let left = span; left > 0; left = due - now()) {
          if (stopped || life !== born || (interrupted && options.interruptsWithinStep)) break;
          await pause.sleep(left);
        }
        await look();
        // Lets sockets and requests be served when steps take no time.
        if (faults.stepMs === 0) await new Promise(resolve => setImmediate(resolve));
      },
      beforeNode(classType) {
        if (faults.failNode?.class === classType)
          throw new NodeFailure('RuntimeError', faults.failNode.message);
      },
      beforeSampling(prompt) {
        if (faults.crashOnPrompt !== null && prompt.includes(faults.crashOnPrompt)) {
          options.onCrash();
          throw new Dropped();
        }
        if (faults.outOfMemory === 0 && !faults.outOfMemoryUntilFree) return;
        faults.outOfMemory = Math.max(0, faults.outOfMemory - 1);
        throw outOfMemory();
      },
      setNode(next) {
        node = next;
      },
    };
  }

  async function run(item: QueueItem): Promise<void> {
    const span = { id: item.promptId, startedAt: now(), endedAt: null as number | null };
    const born = life;
    interrupted = false;
    owner = ownerOf(item);
    stats.timeline.push(span);
    count(stats.executed, item.promptId);
    status();
    let outcome: RunOutcome;
    try {
      outcome = await runPrompt(item, contextOf(born));
    } catch (error) {
      if (error instanceof Dropped) return;
      if (!(error instanceof DanglingLink)) throw error;
      // ComfyUI's only worker thread ends of it, while its HTTP goes on.
      dead = true;
      return;
    } finally {
      span.endedAt = now();
    }
    if (life !== born) return;
    if (outcome.kind === 'completed') count(stats.completed, item.promptId);
    if (outcome.kind === 'interrupted') count(stats.interrupted, item.promptId);
    queue.finish(outcome.record, Date.now());
    status();
    if (owner !== null) hub.send('executing', { node: null, prompt_id: item.promptId }, owner);
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      const item = halted || dead || faults.hang ? null : queue.take();
      if (item === null) {
        await pause.parked();
        continue;
      }
      if (clearCache) cache.clear();
      clearCache = false;
      await run(item);
    }
  }

  const ended = loop();
  return {
    wake: () => pause.wake(),
    interrupt() {
      interrupted = true;
      pause.wake();
    },
    free() {
      clearCache = true;
    },
    halt() {
      life += 1;
      halted = true;
      dead = false;
      cache.clear();
      owner = null;
      node = null;
      pause.wake();
    },
    resume() {
      halted = false;
      pause.wake();
    },
    current: () => ({ node, owner }),
    async stop() {
      stopped = true;
      pause.wake();
      await ended;
    },
  };
}
