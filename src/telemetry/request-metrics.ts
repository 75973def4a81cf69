import { Counter, Gauge, type Registry } from 'prom-client';
import type {
  OnOperation,
  OperationInfo,
  OperationObserver,
  Outcome,
  Transport,
} from '../operations/hooks.ts';
import { createDistribution, createTally } from './series.ts';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** A finished HTTP request. */
export interface RequestInfo {
  readonly method: string;
  /** The pattern of its route, such as `/status/:job_id`; null: no route. */
  readonly route: string | null;
  readonly status: number;
  readonly durationMs: number;
}

/** Called at the end of each HTTP request. Must not throw. */
export type OnRequest = (request: RequestInfo) => void;

/** Times HTTP requests by route. Streams and downloads count with the time that they were open. */
export function createRequestMetrics(registry: Registry): OnRequest {
  const observe = createDistribution({
    name: 'qwen_edit_http_request_seconds',
    help: 'Duration of HTTP requests; route is empty where there is none',
    labelNames: ['method', 'route', 'status'],
    buckets: SECONDS,
    registry,
  });
  return ({ method, route, status, durationMs }) => observe(durationMs / 1000, method, route ?? '', status);
}

/** Callers choose the names of their operations, so only this many become labels. */
const MAX_NAMES = 50;

/** Counts GraphQL operations over every transport, and watchers. Beyond the first names, operations count as `other`. */
export function createOperationMetrics(registry: Registry): OnOperation {
  const registers = [registry];
  const countEnded = createTally({
    name: 'qwen_edit_graphql_operations_total',
    help: 'GraphQL operations that ended',
    labelNames: ['kind', 'name', 'transport', 'outcome'],
    registry,
  });
  const observe = createDistribution({
    name: 'qwen_edit_graphql_operation_seconds',
    help: 'Duration of GraphQL queries and mutations',
    labelNames: ['kind', 'name'],
    buckets: SECONDS,
    registry,
  });
  // Plain numbers, because results are the hot path: they are published at a scrape.
  const live = new Map<Transport, LiveCounts>();
  const countsOf = (transport: Transport): LiveCounts => {
    const counts = live.get(transport) ?? { transport, watchers: 0, delivered: null, conflated: null };
    live.set(transport, counts);
    return counts;
  };
  new Gauge({
    name: 'qwen_edit_watchers',
    help: 'Open GraphQL subscriptions',
    labelNames: ['transport'],
    registers,
    collect() {
      for (const [transport, { watchers }] of live) this.set({ transport }, watchers);
    },
  });
  new Counter({
    name: 'qwen_edit_snapshots_delivered_total',
    help: 'Results of subscriptions that were delivered',
    labelNames: ['transport'],
    registers,
    collect() {
      this.reset();
      for (const [transport, { delivered }] of live)
        if (delivered !== null) this.inc({ transport }, delivered);
    },
  });
  new Counter({
    name: 'qwen_edit_snapshots_conflated_total',
    help: 'Results of subscriptions that a newer one replaced because the client was too slow to get them',
    labelNames: ['transport'],
    registers,
    collect() {
      this.reset();
      for (const [transport, { conflated }] of live)
        if (conflated !== null) this.inc({ transport }, conflated);
    },
  });

  // Only operations that were valid add a name.
  const names = new Set<string>();
  const labelOf = (name: string | null, outcome: Outcome): string => {
    if (name === null) return '';
    if (outcome !== 'rejected' && names.size < MAX_NAMES) names.add(name);
    return names.has(name) ? name : 'other';
  };

  const count = ({ kind, transport }: Counted, given: string | null, outcome: Outcome): string => {
    const name = labelOf(given, outcome);
    countEnded(kind ?? '', name, transport, outcome);
    return name;
  };
  const countWatcher: CountWatcher = ({ transport }, name, outcome) =>
    void count({ kind: 'subscription', transport }, name, outcome);

  return operation => {
    const { kind, name: given, transport } = operation;
    if (kind === 'subscription') return new WatcherObserver(countsOf(transport), given, countWatcher);
    let results = 0;
    return {
      result() {
        results++;
      },
      end(outcome, durationMs) {
        const name = count(operation, given, outcome);
        if (kind !== null && results > 0) observe(durationMs / 1000, kind, name);
      },
    };
  };
}

type Counted = Pick<OperationInfo, 'kind' | 'transport'>;

/** Of the subscriptions over one transport; null: none yet. */
interface LiveCounts {
  readonly transport: Transport;
  watchers: number;
  delivered: number | null;
  conflated: number | null;
}

type CountWatcher = (counts: LiveCounts, name: string | null, outcome: Outcome) => void;

/** Counts the results of one subscription. A class, because there are thousands. */
class WatcherObserver implements OperationObserver {
  readonly #counts: LiveCounts;
  readonly #name: string | null;
  readonly #ended: CountWatcher;

  constructor(counts: LiveCounts, name: string | null, ended: CountWatcher) {
    this.#counts = counts;
    this.#name = name;
    this.#ended = ended;
    counts.watchers += 1;
  }

  result(_errors: unknown, replaced: boolean): void {
    // The one that was replaced counted as delivered: this one takes its place.
    if (replaced) this.#counts.conflated = (this.#counts.conflated ?? 0) + 1;
    else this.#counts.delivered = (this.#counts.delivered ?? 0) + 1;
  }

  end(outcome: Outcome): void {
    this.#counts.watchers -= 1;
    this.#ended(this.#counts, this.#name, outcome);
  }
}
