import type { Faults } from '../faults.ts';
import { NodeFailure } from '../nodes/values.ts';
import { seededRandom } from '../random.ts';
import { createNodeCache } from './caching.ts';
import { clientOf, Dropped, Interrupted, type RunContext, type RunOutcome, runPrompt } from './executor.ts';
import { DanglingLink } from './graph.ts';
import type { PromptQueue, QueueItem } from './queue.ts';

/** The single worker, which runs one prompt at a time (`main.py`, prompt_worker). */
export interface Worker {
  /** Makes the worker check the queue and the faults again. */
  wake(): void;
  /** Stops the running prompt at its next checkpoint; without a running prompt it does nothing. */
  interrupt(): void;
  /** Clears the node cache before the next prompt. */
  free(): void;
  /** Drops the running prompt, clears the cache and pauses until `resume`. */
  halt(): void;
  resume(): void;
  /** The node being executed, and the client id of the running prompt. */
  current(): { node: string | null; owner: string | null };
  /** Ends the worker for good. */
  stop(): Promise<void>;
}

export interface WorkerOptions
  extends Pick<RunContext, 'hub' | 'files' | 'progressStates' | 'listsCachedOutputs' | 'isOutput'> {
  readonly queue: PromptQueue;
  readonly faults: Faults;
  readonly stats: Stats;
  /** Whether an interrupt takes effect within a step (0.8.0 checks in each layer) or only at its end. */
  readonly interruptsWithinStep: boolean;
  /** Called when a fault simulates a restart of the process. */
  onCrash(): void;
}

/** Counters for tests, which survive simulated restarts. */
export interface Stats {
  executed: Record<string, number>;
  completed: Record<string, number>;
  interrupted: Record<string, number>;
  uploads: number;
  prompts: number;
  frees: number;
  /** How often each diffusion model was loaded. */
  loads: Record<string, number>;
  /** Milliseconds since the epoch. */
  timeline: { id: string; startedAt: number; endedAt: number | null }[];
}

/** All zero. */
export function emptyStats(): Stats {
  const counts = { uploads: 0, prompts: 0, frees: 0 };
  return { executed: {}, completed: {}, interrupted: {}, ...counts, loads: {}, timeline: [] };
}

function count(table: Record<string, number>, id: string): void {
  table[id] = (table[id] ?? 0) + 1;
}

/** How far the duration of a step deviates from the mean, in either direction. */
const JITTER = 0.1;
/** The same for durations that are set. */
const SET_JITTER = 0.05;
const SAMPLER = 'KSampler';

/** Starts the worker. */
export function startWorker(options: WorkerOptions): Worker {
  const { queue, hub, faults, stats } = options;
  const cache = createNodeCache();
  const pause = createPause();
  const random = seededRandom(7);
  let interrupted = false;
  let halted = false;
  let stopped = false;
  // Incremented by each halt: a prompt that started before it is dropped.
  let generation = 0;
  let dead = false;
  let clearCache = false;
  /** Classes that have loaded their models. */
  const loaded = new Set<string>();
  /** The diffusion model in memory. */
  let model: string | null = null;
  let node: string | null = null;
  let owner: string | null = null;

  function contextOf(born: number): RunContext {
    const isAlive = (): boolean => !stopped && generation === born;
    const assertAlive = (): void => {
      if (!isAlive()) throw new Dropped();
    };
    const checkpoint = async (): Promise<void> => {
      while (faults.hang && isAlive()) await pause.parked();
      assertAlive();
      if (!interrupted) return;
      interrupted = false;
      throw new Interrupted();
    };
    // When the work requested so far ends. The time that drawing a preview takes counts as part of its step.
    let due = now();
    let sampling = false;
    async function pass(mean: number, jitter: number): Promise<void> {
      const span = mean * (1 - jitter + 2 * jitter * random());
      due = Math.max(due + span, now());
      for (let left = span; left > 0; left = due - now()) {
        if (!isAlive() || (interrupted && options.interruptsWithinStep)) break;
        await pause.sleep(left);
      }
      await checkpoint();
      // Steps that take no time must still let sockets and requests be served.
      if (mean === 0) await new Promise(resolve => setImmediate(resolve));
    }
    return {
      hub,
      cache,
      files: options.files,
      progressStates: options.progressStates,
      isOutput: options.isOutput,
      listsCachedOutputs: options.listsCachedOutputs,
      checkpoint,
      assertAlive,
      async work(steps) {
        const { durations, stepMs } = faults;
        if (durations === null) await pass(steps * stepMs, JITTER);
        // Of the set durations only a sampler's is one of steps; the others are spent already.
        else if (sampling) await pass(steps * (durations[SAMPLER]?.ms ?? 0), SET_JITTER);
      },
      async spend(classType) {
        sampling = classType === SAMPLER;
        const set = faults.durations?.[classType];
        if (set === undefined) return;
        const load = loaded.has(classType) ? 0 : set.loadMs;
        loaded.add(classType);
        await pass(load + (sampling ? 0 : set.ms), SET_JITTER);
      },
      async loadModel(file) {
        if (file === model) return;
        model = file;
        count(stats.loads, file);
        if (faults.modelLoadMs > 0) await pass(faults.modelLoadMs, SET_JITTER);
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
    const born = generation;
    interrupted = false;
    owner = clientOf(item);
    stats.timeline.push(span);
    count(stats.executed, item.promptId);
    hub.sendStatus(queue.remaining());
    let outcome: RunOutcome;
    try {
      outcome = await runPrompt(item, contextOf(born));
    } catch (error) {
      if (error instanceof Dropped) return;
      if (!(error instanceof DanglingLink)) throw error;
      // This exception ends ComfyUI's only worker thread, while its HTTP server continues.
      dead = true;
      return;
    } finally {
      span.endedAt = now();
    }
    if (generation !== born) return;
    if (outcome.kind === 'completed') count(stats.completed, item.promptId);
    if (outcome.kind === 'interrupted') count(stats.interrupted, item.promptId);
    queue.finish(outcome.record, Date.now());
    hub.sendStatus(queue.remaining());
    if (owner !== null) hub.send('executing', { node: null, prompt_id: item.promptId }, owner);
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      const item = halted || dead || faults.hang ? null : queue.take();
      if (item === null) {
        await pause.parked();
        continue;
      }
      if (clearCache) {
        cache.clear();
        loaded.clear();
        model = null;
      }
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
      generation += 1;
      halted = true;
      dead = false;
      cache.clear();
      loaded.clear();
      model = null;
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

/** Milliseconds since the epoch, with fractions. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The exception of a GPU without enough memory, with the hint that ComfyUI appends. */
function outOfMemory(): NodeFailure {
  return new NodeFailure(
    'torch.OutOfMemoryError',
    'CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 0 bytes.\n' +
      'This error means you ran out of memory on your GPU.\n\n' +
      'TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.',
  );
}

/** Waits that `wake` ends early. */
interface Pause {
  sleep(milliseconds: number): Promise<void>;
  /** Resolves when woken. */
  parked(): Promise<void>;
  /** Ends every pending wait. */
  wake(): void;
}

function createPause(): Pause {
  const wakers = new Set<() => void>();
  function wait(milliseconds: number | null): Promise<void> {
    return new Promise(resolve => {
      let timer: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(timer);
        wakers.delete(end);
        resolve();
      };
      wakers.add(end);
      if (milliseconds !== null) timer = setTimeout(end, milliseconds);
    });
  }
  return {
    sleep: wait,
    parked: () => wait(null),
    wake() {
      for (const end of [...wakers]) end();
    },
  };
}
