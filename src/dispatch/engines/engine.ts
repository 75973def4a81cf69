import { LRUCache } from 'lru-cache';
import type { SystemStats } from '../../comfyui/answers.ts';
import type { EngineClient } from '../../comfyui/client.ts';
import type { EngineSocket } from '../../comfyui/socket.ts';
import { engineId } from '../../jobs/engines.ts';
import type { Clock } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { ModelChoice } from '../../workflows/bind/models.ts';
import type { ObjectInfo } from '../../workflows/check/object-info.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { PromptName } from '../run/lookup.ts';
import { createAbandoned } from './abandoned.ts';
import {
  type EngineHealthEvent,
  type EngineHold,
  type EngineState,
  needsInventory,
  nextHealth,
  startHealth,
} from './engine-state.ts';
import { canTarget, type Problems, sayWhatRuns, whyUnfit } from './inspection.ts';
import { createInventory } from './inventory.ts';
import { createEngineSockets, type RunSocketOptions } from './sockets.ts';

export interface EngineStatus {
  readonly id: string;
  readonly url: string;
  /** Takes no more jobs, and is forgotten when its last one has ended. */
  readonly leaving: boolean;
  readonly state: EngineState;
  /** Why it is not READY, or not live. */
  readonly reason: string | null;
  /** When it became DOWN, in milliseconds since 1970; null in every other state. */
  readonly downSince: number | null;
  readonly stats: SystemStats | null;
  /** Whether it can interrupt a single prompt. */
  readonly targetedInterrupt: boolean;
  /** Whether previews carry the id of their prompt. */
  readonly previewMetadata: boolean;
  /** Whether its WebSocket opens: without it jobs are followed by polling, so they have no steps and no previews. */
  readonly live: boolean;
  /** Names of the workflows that it can run. */
  readonly workflows: readonly string[];
  /** Why it cannot run the others, by workflow. */
  readonly problems: Problems;
  /** The files that it uses for those with alternatives, by workflow that it can run. */
  readonly models: ReadonlyMap<string, readonly ModelChoice[]>;
}

/** One ComfyUI server as the dispatcher sees it: probed regularly, and not used while it is unhealthy. */
export interface Engine {
  readonly id: string;
  readonly client: EngineClient;
  status(): EngineStatus;
  /**
   * Whether it can run this version of a workflow, as `WorkflowCatalog.find` knows it. True for a workflow that no longer
   * exists, so that a run can fail such a job with the reason.
   */
  canRun(workflow: string, version: string): boolean;
  /** Its nodes and files, as they were read last; null before the first time. */
  inventory(): ObjectInfo | null;
  /** The workflows changed: they are checked against what it has, and it is probed again. */
  recheck(): void;
  /** Whether it is READY. */
  takesJobs(): boolean;
  /** Resolves when it is READY, or `signal` aborts. */
  ready(signal: AbortSignal): Promise<void>;
  /** A run could not reach it, or found it stuck: it is probed again, and set aside for longer after each loss in a row. */
  lost(reason: string): void;
  /**
   * It may have been restarted unnoticed, perhaps as a new machine: it is probed again, and neither its uploads nor its loaded
   * models are taken for known.
   */
  mayHaveRestarted(): void;
  /** It ran out of memory: it is set aside after several times in a row. */
  ranOutOfMemory(): void;
  ranWell(): void;
  /** From now on it takes no jobs (null: it does again). One that is LEAVING gives the jobs back that it has not begun. */
  hold(hold: EngineHold | null): void;
  /** Why it leaves; null: it does not. */
  leaving(): string | null;
  /** Aborts when it begins to leave. After it was told to stay, there is another one. */
  departure(): AbortSignal;
  /** Opens a socket for the events of prompts with this client id. Rejects with EngineUnreachable. */
  openSocket(clientId: string, options: RunSocketOptions): Promise<EngineSocket>;
  /** Stops a prompt that was given up while the engine was unreachable, once it responds. */
  abandon(name: PromptName): void;
  /** The name under which it has the bytes with this hash; forgotten when the engine is lost, or may have been restarted. */
  uploadedAs(sha256: string): string | null;
  rememberUpload(sha256: string, name: string): void;
  stop(): Promise<void>;
}

export interface EngineOptions {
  readonly client: EngineClient;
  readonly workflows: WorkflowCatalog;
  readonly now: Clock;
  readonly log: Log;
  /** Milliseconds between two probes of a healthy engine, at most. */
  readonly probeMs: number;
  /** Resolves when the event loop has time for a check of some milliseconds; shared by the engines of a fleet. */
  readonly turn: () => Promise<void>;
  /** Called whenever it may have been restarted: it does not respond, a run lost it, or says so. */
  readonly onLost: () => void;
}

const NO_MODELS: EngineStatus['models'] = new Map();
const UPLOADS_REMEMBERED = 1_000;
/** The share of the time between two probes by which it may be shorter, so that many engines are not probed at once for long. */
const PROBE_SPREAD = 0.2;

/** Starts to probe the engine; `stop` ends that. What follows from a probe is decided in `engine-state.ts`. */
export function startEngine(options: EngineOptions): Engine {
  const { client, workflows, now, log, probeMs, turn, onLost } = options;
  const id = engineId(client.url);
  const stopping = new AbortController();
  let departing = new AbortController();
  const waiters = new Set<() => void>();
  const abandoned = createAbandoned(id, { client, now, log });
  const inventory = createInventory(client, workflows, turn);
  const uploaded = new LRUCache<string, string>({ max: UPLOADS_REMEMBERED });

  let health = startHealth(now());
  let stats: SystemStats | null = null;
  let previewMetadata = false;
  /** What the log says that it runs. */
  let told: string | null = null;
  /** Ends the pause before the next probe. */
  let wake: (() => void) | null = null;
  const sockets = createEngineSockets({
    engine: id,
    client,
    answersFlags: () => previewMetadata,
    isDown: () => health.state === 'DOWN',
    log,
  });

  const isLeaving = (): boolean => health.hold?.state === 'LEAVING';

  function apply(event: EngineHealthEvent): void {
    // The requests that a stop ends say nothing of the engine.
    if (stopping.signal.aborted) return;
    const before = health;
    health = nextHealth(health, event, now(), probeMs * (1 - PROBE_SPREAD * Math.random()));
    const { state, reason, probeAt, inventoryAt } = health;
    if (inventoryAt === null) uploaded.clear();
    if (isLeaving()) departing.abort();
    else if (departing.signal.aborted) departing = new AbortController();
    if (event.type === 'probeFailed' || event.type === 'lost') onLost();
    if (probeAt < before.probeAt) wake?.();
    if (state === before.state && reason === before.reason) return;
    const isPlanned = state === 'READY' || state === 'DRAINED' || state === 'LEAVING';
    const level = isPlanned ? 'info' : 'warn';
    log[level]({ engine: id, state, reason }, 'engine state changed');
    if (state === 'READY') for (const waiter of [...waiters]) waiter();
  }

  /** Logs which workflows it runs and what it lacks for the others: at first, and whenever that changes. */
  function tellWhatRuns(found: Problems): void {
    const text = sayWhatRuns(found);
    if (text === told) return;
    told = text;
    log.info({ engine: id, version: stats?.version ?? null, device: stats?.device ?? null }, `${id} ${text}`);
  }

  async function probe(): Promise<void> {
    try {
      stats = await client.systemStats();
      const reading = needsInventory(health, now());
      if (reading) {
        previewMetadata = await client.previewMetadata();
        apply({ type: 'readingInventory' });
        await inventory.read();
      }
      const running = await abandoned.stop(canTarget(stats));
      const found = inventory.problems();
      tellWhatRuns(found);
      const unfit = whyUnfit(found);
      apply({ type: 'responded', readInventory: reading, abandoned: running, unfit });
      // Beside the probes, because a proxy may let the handshake hang.
      sockets.test(stopping.signal);
    } catch (error) {
      apply({ type: 'probeFailed', reason: error instanceof Error ? error.message : String(error) });
    }
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      await probe();
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.max(0, health.probeAt - now()));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (stopping.signal.aborted) wake();
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
    status() {
      const found = inventory.problems();
      const deaf = sockets.deaf();
      const runnable = [...found].filter(([, list]) => list.length === 0).map(([name]) => name);
      return {
        id,
        url: client.url,
        leaving: isLeaving(),
        state: health.state,
        reason: health.reason ?? deaf,
        downSince: health.downSince,
        stats,
        targetedInterrupt: canTarget(stats),
        previewMetadata,
        live: deaf === null && health.state !== 'STARTING' && health.state !== 'DOWN',
        workflows: health.inventoryAt === null ? [] : runnable,
        problems: found,
        models: health.inventoryAt === null ? NO_MODELS : inventory.models(runnable),
      };
    },
    canRun(name, version) {
      if (health.inventoryAt === null) return false;
      const workflow = workflows.find(name, version);
      // Broken files may be repaired: the jobs of such a workflow wait for that.
      if (workflow === null) return !workflows.broken().some(broken => broken.name === name);
      return inventory.problemsOf(workflow)?.length === 0;
    },
    takesJobs: () => health.state === 'READY',
    inventory: inventory.info,
    recheck: () => apply({ type: 'recheckRequested' }),
    ready(signal) {
      if (health.state === 'READY' || signal.aborted) return Promise.resolve();
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
    lost: reason => apply({ type: 'lost', reason }),
    mayHaveRestarted() {
      uploaded.clear();
      onLost();
      apply({ type: 'recheckRequested' });
    },
    ranOutOfMemory: () => apply({ type: 'ranOutOfMemory' }),
    ranWell: () => apply({ type: 'ranWell' }),
    hold(hold) {
      const { state = null, reason = null } = health.hold ?? {};
      if (state !== (hold?.state ?? null) || reason !== (hold?.reason ?? null)) apply({ type: 'held', hold });
    },
    leaving: () => (isLeaving() ? (health.hold?.reason ?? null) : null),
    departure: () => departing.signal,
    openSocket: sockets.open,
    abandon: abandoned.add,
    async stop() {
      stopping.abort();
      for (const waiter of [...waiters]) waiter();
      await client.close();
      wake?.();
      await looping;
      await sockets.settled();
    },
  };
}
