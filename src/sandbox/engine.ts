import { rm } from 'node:fs/promises';
import { createPromptQueue, type PromptQueue } from './execution/queue.ts';
import { emptyStats, type Stats, startWorker, type Worker } from './execution/worker.ts';
import { type Faults, noFaults } from './faults.ts';
import { type EngineFiles, openFiles } from './files.ts';
import { type EngineVersion, type NodeClasses, readNodeClasses } from './nodes/object-info.ts';
import type { JsonObject } from './wire/json.ts';
import { createSocketHub, type SocketHub } from './wire/socket.ts';

/** What the routes work on: ComfyUI's PromptServer without its HTTP. */
export interface Engine {
  readonly version: EngineVersion;
  /** The server's feature flags; null for a version without them, which has no GET /features. */
  readonly features: JsonObject | null;
  readonly classes: NodeClasses;
  readonly files: EngineFiles;
  readonly queue: PromptQueue;
  readonly hub: SocketHub;
  readonly worker: Worker;
  readonly faults: Faults;
  readonly stats: Stats;
  /** Mean milliseconds of a step when no fault changes it. */
  readonly stepMs: number;
  /** The same to load a model. */
  readonly modelLoadMs: number;
  /** Returns the next number of a prompt, from 0; prompts run in this order. */
  takeNumber(): number;
  /** Sends the queue's length to all sockets. */
  sendStatus(): void;
  /** Forgets what a process loses when it ends, and closes the sockets. The worker pauses until `worker.resume`. */
  crash(): void;
  stop(): Promise<void>;
}

export interface EngineOptions {
  readonly version: EngineVersion;
  readonly stepMs: number;
  readonly modelLoadMs: number;
  readonly dir: string;
  readonly removeDir: boolean;
  readonly missingModels: readonly string[];
  readonly missingNodes: readonly string[];
  readonly moreModels: Readonly<Record<string, readonly string[]>>;
  readonly moreNodes: number;
  /** Called when a fault simulates a restart of the process. */
  onCrash(): void;
}

/** Starts an engine whose worker waits for prompts. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { version } = options;
  const legacy = version === 'legacy';
  const files = await openFiles(options.dir);
  const classes = readNodeClasses(options);
  const faults = noFaults(options.stepMs, options.modelLoadMs);
  const stats = emptyStats();
  const queue = createPromptQueue();
  const features = legacy
    ? null
    : {
        supports_preview_metadata: true,
        max_upload_size: 104_857_600,
        ...(version === '0.8.0' ? { extension: { manager: { supports_v4: true } } } : {}),
      };
  let number = 0;
  const hub = createSocketHub({
    faults,
    features,
    greet(clientId) {
      const { node, owner } = worker.current();
      return { queueRemaining: queue.remaining(), node: owner === clientId ? node : null };
    },
  });
  const worker = startWorker({
    queue,
    hub,
    files,
    faults,
    stats,
    progressStates: !legacy,
    listsCachedOutputs: version !== '0.8.0',
    interruptsWithinStep: version === '0.8.0',
    isOutput: classType => classes[classType]?.output_node === true,
    onCrash: options.onCrash,
  });
  return {
    version,
    features,
    classes,
    files,
    queue,
    hub,
    worker,
    faults,
    stats,
    stepMs: options.stepMs,
    modelLoadMs: options.modelLoadMs,
    takeNumber() {
      number += 1;
      return number - 1;
    },
    sendStatus: () => hub.sendStatus(queue.remaining()),
    crash() {
      worker.halt();
      queue.reset();
      number = 0;
      hub.dropAll();
      hub.deafenAll();
    },
    async stop() {
      await worker.stop();
      hub.dropAll();
      if (options.removeDir) await rm(options.dir, { recursive: true, force: true });
    },
  };
}
