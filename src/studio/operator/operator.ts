import { type ReadonlySignal, signal } from '@preact/signals';
import type { Client, Engine, QueuedJob, Workflow } from '../../client/client.ts';
import type { Announcer } from '../app/announcer.ts';
import { poll } from '../app/poll.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';

/** What an operator sees: the engines, and the jobs of all callers that have not ended. */
export interface Operator {
  /** Null: not read yet. */
  readonly engines: ReadonlySignal<readonly Engine[] | null>;
  readonly workflows: ReadonlySignal<readonly Workflow[]>;
  /** In the order in which they run. */
  readonly waiting: ReadonlySignal<readonly QueuedJob[]>;
  readonly running: ReadonlySignal<readonly QueuedJob[]>;
  readonly fault: ReadonlySignal<string | null>;
  /** The engine whose state is being set. */
  readonly busy: ReadonlySignal<string | null>;
  drain(id: string, drained: boolean): Promise<void>;
  /** Reads all of it every few seconds until the returned function is called. */
  open(): () => void;
}

const EVERY_MS = 2_500;
/** Pages of 100 jobs that are read of a long queue. */
const MAX_PAGES = 5;

export function createOperator({
  client,
  session,
  announcer,
  document,
}: {
  readonly client: Client;
  readonly session: Session;
  readonly announcer: Announcer;
  readonly document: Document;
}): Operator {
  const engines = signal<readonly Engine[] | null>(null);
  const workflows = signal<readonly Workflow[]>([]);
  const waiting = signal<readonly QueuedJob[]>([]);
  const running = signal<readonly QueuedJob[]>([]);
  const fault = signal<string | null>(null);
  const busy = signal<string | null>(null);

  /** The list is newest first, so the jobs that run next are on its last page. */
  async function readQueue(): Promise<readonly QueuedJob[]> {
    const found: QueuedJob[] = [];
    let after: string | null = null;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { nodes, pageInfo } = await client.queue(after);
      found.push(...nodes);
      if (!pageInfo.hasNextPage) break;
      after = pageInfo.endCursor;
    }
    return found;
  }

  async function read(): Promise<void> {
    try {
      const [foundEngines, foundWorkflows, jobs] = await Promise.all([
        client.engines(),
        client.workflows(),
        readQueue(),
      ]);
      engines.value = foundEngines;
      workflows.value = foundWorkflows;
      running.value = jobs.filter(({ status }) => status === 'PROCESSING');
      waiting.value = jobs.filter(({ status }) => status === 'QUEUED').sort(nextFirst);
      fault.value = null;
    } catch (error) {
      if (!session.concerns(error)) fault.value = texts.failure(error);
    }
  }

  return {
    engines,
    workflows,
    waiting,
    running,
    fault,
    busy,
    async drain(id, drained) {
      busy.value = id;
      try {
        const result = await session.insist(() => client.setEngineState(id, drained));
        if (result.__typename === 'EditEngine') announcer.say(texts.engines.drained(id, drained));
        await read();
        if (result.__typename !== 'EditEngine') fault.value = result.message;
      } catch (error) {
        fault.value = texts.failure(error);
      } finally {
        busy.value = null;
      }
    },
    open() {
      const polling = poll(document, EVERY_MS, read);
      return polling.stop;
    },
  };
}

function nextFirst(one: QueuedJob, other: QueuedJob): number {
  const place = (job: QueuedJob): number => job.queuePosition ?? Number.POSITIVE_INFINITY;
  if (place(one) === place(other)) return one.createdAt.localeCompare(other.createdAt);
  return place(one) - place(other);
}
