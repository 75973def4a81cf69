import type { EngineClient } from '../../comfyui/client.ts';
import { createTurns } from '../../concurrency/event-loop.ts';
import { lanesOf } from '../../jobs/claims.ts';
import { afterLeaving, type StoredEngine } from '../../jobs/engines.ts';
import type { LastClaims } from '../../jobs/last-claims.ts';
import type { DispatchContext } from '../context.ts';
import { type Engine, type EngineStatus, startEngine } from '../engines/engine.ts';
import { startClaimer } from '../lanes/claimer.ts';
import { type Lane, startLane } from '../lanes/lane.ts';
import { keepLeases } from '../lanes/leases.ts';
import { createMoves } from '../lanes/moves.ts';
import { createWarmth } from '../lanes/warmth.ts';
import { type ConfiguredEngine, type EngineSource, isOver, type Member, membersOf } from './members.ts';

/** The engines that settings name. They change with what a name in them resolves to. */
export interface ConfiguredEngines {
  present(): readonly ConfiguredEngine[];
  /** Calls back when they changed. Returns an unsubscribe function. */
  onChange(listener: () => void): () => void;
}

export interface FleetOptions {
  readonly context: DispatchContext;
  readonly configured: ConfiguredEngines;
  /** Whether this gateway may connect to the URL of a record. */
  readonly allows: (url: string) => boolean;
  /** A client with the credentials that the settings have for the URL, or for the name in them that led to it. */
  readonly clientFor: (url: string, name: string | null) => EngineClient;
  readonly lanesPerEngine: number;
  readonly leaseMs: number;
  readonly probeMs: number;
  /** Milliseconds that a job may be passed over by later ones whose models an engine has loaded. */
  readonly modelPatienceMs: number;
  /** Null: no other gateway uses the store. */
  readonly lastClaims: LastClaims | null;
}

/** An engine with how it came into the fleet. */
export interface MemberStatus extends EngineStatus {
  readonly source: EngineSource;
  /** When its registration expires, in milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

/** The engines of this process, with their lanes. */
export interface Fleet {
  /** Those that leave too, until their last job has ended. */
  engines(): readonly Engine[];
  status(): readonly MemberStatus[];
  lanes(): readonly Lane[];
  /** Whether one of them has the models of the workflow loaded, or will have when its jobs have run. */
  hasLoaded(workflow: string): boolean;
  /** Reads the records, and starts and drains engines as they say. Rejects with StoreUnavailable. */
  update(): Promise<void>;
  stop(): Promise<void>;
}

/** A message that a record changed may be lost: they are read again after this long, in milliseconds. */
const READ_MS = 5_000;
/** How often it looks whether registrations expired, and whether engines that leave may be forgotten. */
const TICK_MS = 500;
/** An engine that leaves is kept for this long at least, because a lane may be claiming a job for it. */
const LEAVE_MS = 1_000;

interface Present {
  readonly engine: Engine;
  readonly member: Member;
  readonly lanes: readonly Lane[];
  /** Milliseconds since 1970; null: it stays. */
  readonly leavingSince: number | null;
}

/**
 * Keeps the engines of this process as settings and records say. Starts none before the first `update`.
 *
 * An engine that leaves gives back what it has not begun, and its lanes follow what it has, on every gateway, until no lane of
 * it has a job. Then each gateway stops it, and the first one removes its record.
 */
export function keepFleet(options: FleetOptions): Fleet {
  const { context, configured, lanesPerEngine, leaseMs, probeMs } = options;
  const { ledger, log, now, workflows } = context;
  const present = new Map<string, Present>();
  /** Engines that are not to be started, by the revision of the record that says so. */
  const gone = new Map<string, number>();
  const rejected = new Set<string>();
  let records = new Map<string, StoredEngine>();
  let readAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> = Promise.resolve();
  /** An update that waits for the present one. */
  let waiting: Promise<void> | null = null;
  let stopped = false;

  const engines = (): readonly Engine[] => [...present.values()].map(({ engine }) => engine);

  const turn = createTurns();
  const leases = keepLeases({ ledger, leaseMs, now, log });
  const warmth = createWarmth({ workflows, claims: options.lastClaims, log });
  const claimer = startClaimer({
    ledger,
    workflows,
    warmth,
    engines,
    patienceMs: options.modelPatienceMs,
    running: options.context.running,
    now,
    log,
  });

  const moves = createMoves({
    ledger,
    idle: claimer.idleEngines,
    warmth,
    patienceMs: options.modelPatienceMs,
    now,
    log,
  });

  function startLanes(engine: Engine): Lane[] {
    return Array.from({ length: lanesPerEngine }, (_, index) =>
      startLane({ context, engine, index, leases, claimer, moves }),
    );
  }

  function start(member: Member): void {
    const engine = startEngine({
      client: options.clientFor(member.url, member.name),
      workflows,
      now,
      log,
      probeMs,
      turn,
      onLost: () => warmth.forget(member.id),
    });
    engine.hold(member.hold);
    const leavingSince = engine.leaving() === null ? null : now();
    present.set(member.id, { engine, member, leavingSince, lanes: startLanes(engine) });
    log.info({ engine: member.id, source: member.source }, 'the engine joined');
  }

  /** Takes in what settings and records say of an engine that runs; null: nothing. */
  function adapt(known: Present, member: Member | null): void {
    const { engine } = known;
    const hold = member?.hold ?? null;
    engine.hold(member === null ? { state: 'LEAVING', reason: 'it is no longer in the fleet' } : hold);
    const leavingSince = engine.leaving() === null ? null : (known.leavingSince ?? now());
    present.set(engine.id, { ...known, member: member ?? known.member, leavingSince });
  }

  async function isIdle(id: string): Promise<boolean> {
    return (await ledger.inLanes(lanesOf(id))).length === 0;
  }

  /** Removes what its record says of an engine that left. Another gateway may have been faster. */
  async function forget(id: string): Promise<void> {
    const entry = records.get(id);
    if (entry === undefined || !isOver(entry)) return;
    const { record } = entry;
    await ledger.engines.commit(afterLeaving(record));
  }

  async function read(): Promise<void> {
    const [stored] = await Promise.all([ledger.engines.read(), warmth.read()]);
    records = new Map(stored.map(entry => [entry.record.id, entry]));
    readAt = now();
    const found = membersOf(configured.present(), stored, options.allows, readAt);
    for (const id of found.rejected) {
      if (!rejected.has(id))
        log.warn({ engine: id }, 'ENGINE_ALLOW does not allow the engine: it is not used');
      rejected.add(id);
    }
    const members = new Map(found.members.map(member => [member.id, member]));
    for (const known of [...present.values()]) adapt(known, members.get(known.engine.id) ?? null);
    for (const member of found.members) if (!present.has(member.id)) await join(member);
  }

  async function join(member: Member): Promise<void> {
    const { id, hold } = member;
    if (hold?.state !== 'LEAVING') {
      gone.delete(id);
      start(member);
      return;
    }
    const revision = records.get(id)?.record.revision ?? 0;
    if (gone.get(id) === revision) return;
    // It may have left while no gateway ran, with jobs that are still to be followed.
    if (!(await isIdle(id))) return start(member);
    gone.set(id, revision);
    await forget(id);
  }

  /** Stops the engines that leave and have no job left. */
  async function retire(): Promise<void> {
    for (const known of [...present.values()]) {
      const { engine, lanes, leavingSince } = known;
      if (leavingSince === null || now() - leavingSince < LEAVE_MS) continue;
      if (lanes.some(lane => lane.job !== null) || !(await isIdle(engine.id))) continue;
      await Promise.all(lanes.map(lane => lane.stop()));
      // One may have claimed a job in between.
      if (!(await isIdle(engine.id))) {
        present.set(engine.id, { ...known, lanes: startLanes(engine) });
        continue;
      }
      present.delete(engine.id);
      await engine.stop();
      warmth.forget(engine.id);
      log.info({ engine: engine.id }, 'the engine left');
      gone.set(engine.id, records.get(engine.id)?.record.revision ?? 0);
      await forget(engine.id);
    }
  }

  /** One after another, so that an older answer never replaces a newer one; those that wait are one. */
  function enqueue(work: () => Promise<void>): Promise<void> {
    const next = running.then(async () => {
      if (!stopped) await work();
    });
    running = next.catch(() => undefined);
    return next;
  }

  function update(): Promise<void> {
    waiting ??= enqueue(() => {
      waiting = null;
      return read();
    });
    return waiting;
  }

  function updateLater(): void {
    update().catch(error => log.debug({ err: error }, 'could not read the records of engines'));
  }

  let ticking: Promise<void> | null = null;
  async function tick(): Promise<void> {
    const at = now();
    const expires = [...present.values()].some(
      ({ member, leavingSince }) =>
        leavingSince === null && member.expiresAt !== null && member.expiresAt <= at,
    );
    if (expires || at - readAt >= READ_MS || at < readAt) await update();
    await enqueue(retire);
  }

  const timer = setInterval(() => {
    ticking ??= tick()
      .catch(error => log.debug({ err: error }, 'could not look after the engines'))
      .finally(() => {
        ticking = null;
      });
  }, TICK_MS);
  const leaveRecords = ledger.engines.onChange(updateLater);
  const leaveSettings = configured.onChange(updateLater);

  return {
    engines,
    status: () =>
      [...present.values()].map(({ engine, member }) => ({
        ...engine.status(),
        source: member.source,
        expiresAt: member.expiresAt,
      })),
    lanes: () => [...present.values()].flatMap(({ lanes }) => lanes),
    hasLoaded: workflow => engines().some(({ id }) => warmth.of(id).includes(workflow)),
    update,
    async stop() {
      stopped = true;
      clearInterval(timer);
      leaveRecords();
      leaveSettings();
      await ticking;
      await running;
      await Promise.all([...present.values()].flatMap(({ lanes }) => lanes.map(lane => lane.stop())));
      await claimer.stop();
      await leases.stop();
      await Promise.all(engines().map(engine => engine.stop()));
      await warmth.stop();
    },
  };
}
