import { rm } from 'node:fs/promises';
import { createPromptQueue, type PromptQueue } from './execution/queue.ts';
import { emptyStats, type Stats } from './execution/stats.ts';
import { startWorker, type Worker } from './execution/worker.ts';
import { type Faults, noFaults } from './faults.ts';
import { type EngineFiles, openFiles } from './files.ts';
import { type EngineVersion, type NodeClasses, readNodeClasses } from './nodes/object-info.ts';
import type { JsonObject } from './wire/json.ts';
import { createSocketHub, type SocketHub } from './wire/socket.ts';

/** The engine behind the routes. */
export interface Engine {
  readonly version: EngineVersion;
  /** Null for an engine from before feature flags, which has no such path. */
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
  /** The next automatic number of a prompt; each call takes one. */
  takeNumber(): number;
  /** Tells everybody how many prompts there are. */
  tellStatus(): void;
  /** Forgets all that a new process would not know, and cuts the sockets. The worker stands still until it resumes. */
  crash(): void;
  stop(): Promise<void>;
}

export interface EngineOptions {
  readonly version: EngineVersion;
  readonly stepMs: number;
  readonly dir: string;
  readonly removeDir: boolean;
  readonly missingModels: readonly string[];
  readonly missingNodes: readonly string[];
  /** A fault wants the process to end and start again. */
  onCrash(): void;
}

/** Starts an engine: its worker waits for prompts at once. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { version } = options;
  const legacy = version === 'legacy';
  const files = await openFiles(options.dir);
  const classes = readNodeClasses(options);
  const faults = noFaults(options.stepMs);
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
    takeNumber() {
      number += 1;
      return number - 1;
    },
    tellStatus() {
      hub.send('status', { status: { exec_info: { queue_remaining: queue.remaining() } } }, null);
    },
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
