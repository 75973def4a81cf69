import { LRUCache } from 'lru-cache';
import type { SystemStats } from '../comfyui/answers.ts';
import type { EngineClient } from '../comfyui/client.ts';
import type { Clock } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import { checkAgainstEngine, describeProblem, type WorkflowProblem } from '../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../workflows/check/object-info.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';
import type { Workflow } from '../workflows/workflow.ts';

/**
 * `STARTING`: not asked yet. `READY`: takes jobs. `DOWN`: does not answer. `UNFIT`: answers, but can run none of
 * the workflows. `SET_ASIDE`: failed too often of late. `DRAINED`: an operator wants it to take no more.
 */
export type EngineState = 'STARTING' | 'READY' | 'DOWN' | 'UNFIT' | 'SET_ASIDE' | 'DRAINED';

export interface EngineStatus {
  readonly id: string;
  readonly url: string;
  readonly state: EngineState;
  /** Why it is not READY, in words. */
  readonly reason: string | null;
  readonly stats: SystemStats | null;
  /** Whether it can stop one prompt and no other. */
  readonly targetedInterrupt: boolean;
  /** Whether previews carry their prompt's id. */
  readonly previewMetadata: boolean;
  /** Names of the workflows that it can run. */
  readonly workflows: readonly string[];
  /** What keeps it from running the others, by workflow. */
  readonly problems: ReadonlyMap<string, readonly WorkflowProblem[]>;
}

/** One ComfyUI server as the dispatcher sees it: asked regularly, set aside while it is of no use. */
export interface Engine {
  readonly id: string;
  readonly client: EngineClient;
  status(): EngineStatus;
  /**
   * Whether it can run this version of a workflow, as `WorkflowCatalog.find` knows it. True also for one that there is
   * nothing left of: the run ends such a job with the reason, which nobody else would.
   */
  canRun(workflow: string, version: string): boolean;
  /** The workflows changed: they are held against what it has, and it is asked again. */
  recheck(): void;
  /** Resolves when it is READY, or `signal` aborts. */
  ready(signal: AbortSignal): Promise<void>;
  /** A run could not reach it, or found it stuck: asked again, and set aside for longer each time in a row. */
  lost(reason: string): void;
  /** It ran out of memory: set aside after `OOM_LIMIT` times in a row. */
  ranOutOfMemory(): void;
  /** A run ended well. */
  ranWell(): void;
  drain(drained: boolean): void;
  /** A prompt that was given up while the engine was out of reach: stopped when it is back. */
  abandon(promptId: string): void;
  /** The name under which it already has the bytes of this hash; forgotten when the engine is lost. */
  uploadedAs(sha256: string): string | null;
  rememberUpload(sha256: string, name: string): void;
  stop(): Promise<void>;
}

export interface EngineOptions {
  readonly client: EngineClient;
  readonly workflows: WorkflowCatalog;
  readonly now: Clock;
  readonly log: Log;
  /** Milliseconds between two questions while all is well. */
  readonly probeMs: number;
  /** Told of each change of state. */
  onChange(status: EngineStatus): void;
}

const OOM_LIMIT = 3;
/** Losses in a row, without a good run between, after which an engine that answers is still not trusted. */
const STRIKES = 4;
const LONGEST_ASIDE_MS = 300_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 15_000;
/** `object_info` is large and changes only when somebody installs something. */
const INVENTORY_MS = 60_000;
const UPLOADS_REMEMBERED = 1_000;

/** Starts to ask the engine at once; `stop` ends that. */
export function startEngine(options: EngineOptions): Engine {
  const { client, workflows, log, now } = options;
  const id = client.url.replace(/^https?:\/\//, '');
  const stopping = new AbortController();
  const waiters = new Set<() => void>();
  const abandoned = new Set<string>();
  const uploaded = new LRUCache<string, string>({ max: UPLOADS_REMEMBERED });

  let state: EngineState = 'STARTING';
  let reason: string | null = null;
  let stats: SystemStats | null = null;
  let previewMetadata = false;
  /** What it has, and what that means for each workflow that was held against it. */
  let inventory: { info: ObjectInfo; found: WeakMap<Workflow, readonly WorkflowProblem[]> } | null = null;
  let inventoryAt = Number.NEGATIVE_INFINITY;
  let inventoryWanted = false;
  let drained = false;
  let memoryFailures = 0;
  let strikes = 0;
  let setAside: { until: number; why: string } | null = null;
  let failures = 0;
  let wake: (() => void) | null = null;

  /** Null when it was never asked what it has. */
  function problemsOf(workflow: Workflow): readonly WorkflowProblem[] | null {
    if (inventory === null) return null;
    const known = inventory.found.get(workflow);
    if (known !== undefined) return known;
    const found = checkAgainstEngine(workflow, inventory.info);
    inventory.found.set(workflow, found);
    return found;
  }

  function status(): EngineStatus {
    const problems = new Map(
      workflows.all().flatMap(workflow => {
        const found = problemsOf(workflow);
        return found === null ? [] : [[workflow.name, found] as const];
      }),
    );
    const runnable = [...problems].filter(([, found]) => found.length === 0).map(([name]) => name);
    return {
      id,
      url: client.url,
      state,
      reason,
      stats,
      targetedInterrupt: stats !== null && canTarget(stats.version),
      previewMetadata,
      workflows: inventoryAt > 0 ? runnable : [],
      problems,
    };
  }

  function enter(next: EngineState, why: string | null): void {
    if (state === next && reason === why) return;
    state = next;
    reason = why;
    const level = next === 'READY' || next === 'DRAINED' ? 'info' : 'warn';
    log[level]({ engine: id, state, reason }, 'engine state');
    options.onChange(status());
    if (next === 'READY') for (const waiter of [...waiters]) waiter();
  }

  function put(why: string, ms: number): void {
    setAside = { until: now() + Math.min(LONGEST_ASIDE_MS, ms), why };
    enter('SET_ASIDE', why);
  }

  async function takeInventory(): Promise<void> {
    previewMetadata = await client.previewMetadata();
    inventoryWanted = false;
    inventory = { info: parseObjectInfo(await client.objectInfo()), found: new WeakMap() };
    for (const workflow of workflows.all()) problemsOf(workflow);
    inventoryAt = now();
  }

  async function stopAbandoned(): Promise<void> {
    for (const promptId of abandoned) {
      await client.deletePending(promptId);
      const { running } = await client.queue();
      if (running.includes(promptId)) await client.interrupt(promptId);
      else abandoned.delete(promptId);
    }
  }

  async function probe(): Promise<void> {
    try {
      stats = await client.systemStats();
      const due = inventoryWanted || now() - inventoryAt > INVENTORY_MS;
      if (state !== 'READY' || due) await takeInventory();
      await stopAbandoned();
    } catch (error) {
      failures += 1;
      inventoryAt = Number.NEGATIVE_INFINITY;
      uploaded.clear();
      enter('DOWN', error instanceof Error ? error.message : String(error));
      return;
    }
    failures = 0;
    if (drained) return enter('DRAINED', 'drained by an operator');
    if (abandoned.size > 0) return enter('SET_ASIDE', 'still has a prompt that it was told to stop');
    if (setAside !== null && now() < setAside.until) return enter('SET_ASIDE', setAside.why);
    const { workflows: runnable, problems } = status();
    if (runnable.length === 0) return enter('UNFIT', describe(problems));
    enter('READY', null);
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      await probe();
      const pause =
        failures > 0
          ? Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1))
          : inventoryWanted
            ? 0
            : state === 'SET_ASIDE'
              ? Math.max(FIRST_RETRY_MS, Math.min(options.probeMs, (setAside?.until ?? 0) - now()))
              : options.probeMs;
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, pause);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = null;
    }
  }
  const looping = loop();

  return {
    id,
    client,
    uploadedAs: sha256 => uploaded.get(sha256) ?? null,
    rememberUpload(sha256, name) {
      uploaded.set(sha256, name);
    },
    status,
    canRun(name, version) {
      if (inventoryAt <= 0) return false;
      const workflow = workflows.find(name, version);
      // One whose files are broken may be mended: its jobs wait for that.
      if (workflow === null) return !workflows.broken().some(broken => broken.name === name);
      return problemsOf(workflow)?.length === 0;
    },
    recheck() {
      inventoryWanted = true;
      wake?.();
    },
    ready(signal) {
      if (state === 'READY' || signal.aborted) return Promise.resolve();
      return new Promise(resolve => {
        const done = (): void => {
          waiters.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        waiters.add(done);
        signal.addEventListener('abort', done);
      });
    },
    lost(why) {
      strikes += 1;
      if (strikes >= STRIKES)
        put(`was lost ${strikes} times in a row: ${why}`, 500 * 2 ** (strikes - STRIKES));
      else if (state === 'READY') enter('DOWN', why);
      inventoryAt = Number.NEGATIVE_INFINITY;
      uploaded.clear();
      wake?.();
    },
    ranOutOfMemory() {
      memoryFailures += 1;
      if (memoryFailures < OOM_LIMIT) return;
      put(`ran out of memory ${memoryFailures} times in a row`, 5_000 * 2 ** (memoryFailures - OOM_LIMIT));
    },
    ranWell() {
      memoryFailures = 0;
      strikes = 0;
    },
    drain(wanted) {
      drained = wanted;
      if (wanted) enter('DRAINED', 'drained by an operator');
      else if (state === 'DRAINED') {
        enter('STARTING', null);
        wake?.();
      }
    },
    abandon(promptId) {
      abandoned.add(promptId);
    },
    async stop() {
      stopping.abort();
      for (const waiter of [...waiters]) waiter();
      await client.close();
      wake?.();
      await looping;
    },
  };
}

/**
 * Whether POST /interrupt honours a prompt id. An engine older than 0.3.57 ignores it and stops whatever runs
 * (ComfyUI pull request 9607). An unknown version is taken for an old one: the careful way works on both.
 */
export function canTarget(version: string): boolean {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return false;
  const number = Number(major) * 1e6 + Number(minor) * 1e3 + Number(patch);
  return number >= 3_057;
}

function describe(problems: ReadonlyMap<string, readonly WorkflowProblem[]>): string {
  const texts = [...problems].map(([name, list]) => `${name}: ${list.map(describeProblem).join(', ')}`);
  return texts.length === 0 ? 'there is no workflow to run' : texts.join('; ');
}
