import type { Engine } from '../engines/engine.ts';
import type { Groups } from './groups.ts';

/** An idle lane. */
interface Idle {
  readonly engine: Engine;
  /** Whether it has not asked since it became idle. */
  readonly fresh: boolean;
}

/**
 * Counts the idle lanes in their groups, and chooses those to ask for: the ones that became idle, and of the others as many of each
 * kind as there are arrivals, at least one: the lane that became idle may come before the notification of a job whose models another
 * one has. At most one per engine, as its next job decides which models it has, and `atMost` in all. Idle engines come first: those
 * that became idle just now and one of each other kind, before a lane of a busy engine takes a place in the call.
 */
export function chooseLanes<L extends Idle>(
  idle: readonly L[],
  {
    atMost,
    arrivals,
    groups,
    isBusy,
    warm,
  }: {
    readonly atMost: number;
    readonly arrivals: number;
    readonly groups: Groups;
    /** Whether the engine of this id has a job. */
    readonly isBusy: (engine: string) => boolean;
    /** Names of the workflows whose models it has loaded. */
    readonly warm: (engine: string) => readonly string[];
  },
): L[] {
  const first = new Map<string, L>();
  const fresh = new Set<Engine>();
  for (const lane of idle) {
    const { id } = lane.engine;
    if (lane.fresh) fresh.add(lane.engine);
    const group = groups.of(lane.engine);
    if (first.has(id) || isBusy(id)) group.spare += 1;
    else {
      group.engines += 1;
      for (const name of warm(id)) group.warm.set(name, (group.warm.get(name) ?? 0) + 1);
    }
    if (!first.has(id)) first.set(id, lane);
  }
  const byRank = (one: L, other: L): number =>
    Number(isBusy(one.engine.id)) - Number(isBusy(other.engine.id));
  const perKind = new Map<string, number>();
  const candidates: { lane: L; nth: number }[] = [];
  for (const lane of [...first.values()].sort(byRank)) {
    const { engine } = lane;
    if (fresh.has(engine)) {
      candidates.push({ lane, nth: 0 });
      continue;
    }
    const kind = [groups.of(engine).index, ...warm(engine.id)].join(' ');
    const nth = perKind.get(kind) ?? 0;
    perKind.set(kind, nth + 1);
    if (nth < Math.max(arrivals, 1)) candidates.push({ lane, nth });
  }
  // Some of each kind, where they are too many.
  candidates.sort((one, other) => one.nth - other.nth || byRank(one.lane, other.lane));
  return candidates
    .slice(0, atMost)
    .map(({ lane }) => lane)
    .sort(byRank);
}
