import { LRUCache } from 'lru-cache';
import type { Job } from '../jobs/job.ts';
import type { Clock, Durations } from '../jobs/ports.ts';
import {
  type EngineDurations,
  isLoader,
  isSameShape,
  learn,
  loadingSeconds,
  noDurations,
  type RunSample,
  wholeJob,
} from '../jobs/progress/durations.ts';
import { type Expectation, expectJob, expectRun, nearest } from '../jobs/progress/expectation.ts';
import type { Log } from '../log.ts';
import type { ProgressPlan, RunShape } from '../workflows/bind/plan.ts';
import type { Engine } from './engines/engine.ts';

/** What earlier runs took, to tell how long others take. Shared with other gateways through the store. */
export interface Pace {
  /** What to expect of a run, as far as this process knows; what others learned is read for the next call. */
  expect(engine: EngineName, workflow: string, plan: ProgressPlan): Expectation;
  /** Adds a run. It is stored in the background; a failure to store it is logged. */
  learn(engine: EngineName, sample: RunSample, jobId: string): void;
  /** Adds a whole job, from its start to its stored images. What loading its models took is not part of it. */
  completed(engine: EngineName, job: Job, seconds: number): void;
  /** Seconds for a whole job like this one on any engine that has its models loaded; null until one was measured. */
  wholeJob(job: Job): number | null;
  /** Seconds that an engine takes more to load the models of a job like this one; 0 until that was measured. */
  loading(job: Job): number;
  /** Estimated seconds until one of the ready engines takes the next job, 1 to 300; 10 while nothing was measured. */
  secondsToRoom(readyEngines: number): number;
  /** Resolves when what was learned is stored. */
  stop(): Promise<void>;
}

export interface EngineName {
  readonly id: string;
  /** As the engine names it; null when unknown. */
  readonly device: string | null;
}

/** How an engine is named in the records. */
export function nameOf({ id, status }: Pick<Engine, 'id' | 'status'>): EngineName {
  // Which of a machine's cards it is makes no difference.
  return { id, device: status().stats?.device?.replace(/^(\w+):\d+/, '$1') ?? null };
}

export interface PaceOptions {
  readonly durations: Durations;
  readonly now: Clock;
  readonly log: Log;
}

/** What other gateways learned of an engine is read when it was not for so long, and of all engines. */
const FRESH_MS = 2_000;
const ALL_FRESH_MS = 60_000;

/** Runs that end and whose images are being stored. */
const RUNS_REMEMBERED = 1_000;
/** What the nodes of a run and its job took, and what several lanes learn, is stored together after this time. */
const STORE_MS = 1_000;

const MEGAPIXEL = 1024 * 1024;

/** Starts to read what is stored. */
export function createPace({ durations, now, log }: PaceOptions): Pace {
  const known = new Map<string, EngineDurations>();
  const readAt = new Map<string, number>();
  /** The seconds that loaders took in runs whose jobs have not completed, by job. */
  const loaded = new LRUCache<string, number>({ max: RUNS_REMEMBERED });
  /** What was learned since it was stored last, by engine. */
  const unstored = new Map<
    string,
    { readonly device: string | null; readonly samples: readonly RunSample[] }
  >();
  let storing: NodeJS.Timeout | undefined;
  /** One access to the store after another, so that an older record never replaces a newer one. */
  let access: Promise<void> = Promise.resolve();

  function enqueue(what: string, work: () => Promise<void>): void {
    access = access.then(work).catch(error => log.debug({ err: error }, `${what} failed`));
  }

  function remember(stored: EngineDurations): void {
    const { samples } = unstored.get(stored.engine) ?? { samples: [] };
    known.set(stored.engine, samples.reduce(learn, stored));
  }

  function readAll(): void {
    readAt.set('', now());
    enqueue('reading the durations of earlier runs', async () => {
      for (const stored of await durations.all()) remember(stored);
    });
  }

  async function readOne(engine: string): Promise<void> {
    const stored = await durations.of(engine);
    if (stored !== null) remember(stored);
    readAt.set(engine, now());
  }

  function isStale(engine: string, ms: number): boolean {
    return now() - (readAt.get(engine) ?? Number.NEGATIVE_INFINITY) > ms;
  }

  function own({ id, device }: EngineName): EngineDurations {
    const found = known.get(id);
    return found === undefined ? noDurations(id, device) : { ...found, device };
  }

  function add(engine: EngineName, sample: RunSample): void {
    // Known at once, for a run that starts now, and added to what is stored then.
    known.set(engine.id, learn(own(engine), sample));
    const { samples } = unstored.get(engine.id) ?? { samples: [] };
    unstored.set(engine.id, { device: engine.device, samples: [...samples, sample] });
    storing ??= setTimeout(storeAll, STORE_MS);
  }

  function storeAll(): void {
    clearTimeout(storing);
    storing = undefined;
    for (const [id, { device, samples }] of unstored) {
      enqueue('storing the durations of runs', async () => {
        const stored = (await durations.of(id)) ?? noDurations(id, device);
        const next = samples.reduce(learn, { ...stored, device });
        await durations.put(next);
        remember(next);
      });
    }
    unstored.clear();
  }

  readAll();
  return {
    expect(engine, workflow, plan) {
      if (isStale('', ALL_FRESH_MS)) readAll();
      if (isStale(engine.id, FRESH_MS)) {
        readAt.set(engine.id, now());
        enqueue('reading the durations of earlier runs', () => readOne(engine.id));
      }
      return expectRun(plan, workflow, own(engine), [...known.values()]);
    },
    learn(engine, sample, jobId) {
      const loading = sample.nodes
        .filter(({ key, cold }) => cold && isLoader(key))
        .reduce((sum, { seconds }) => sum + seconds, 0);
      if (loading > 0) loaded.set(jobId, loading);
      add(engine, sample);
    },
    completed(engine, job, total) {
      const seconds = Math.max(0, total - (loaded.get(job.id) ?? 0));
      loaded.delete(job.id);
      const { workflow, steps } = job.request;
      const shape = shapeOf(job);
      // The shape of its nodes, which the graph told exactly.
      const known = own(engine).shapes.find(
        of => of.workflow === workflow && isSameShape({ ...of, tokens: shape.tokens }, shape),
      );
      add(engine, { workflow, shape: known ?? shape, nodes: [], job: { steps, seconds } });
    },
    wholeJob(job) {
      const shape = shapeOf(job);
      const { workflow, steps } = job.request;
      const shapes = [...known.values()]
        .flatMap(of => of.shapes)
        .filter(of => of.workflow === workflow && of.jobs.length > 0);
      const best = nearest(shapes, shape);
      return best === null ? null : expectJob(best, shape, steps);
    },
    loading(job) {
      const { workflow } = job.request;
      const shapes = [...known.values()].flatMap(of => of.shapes).filter(of => of.workflow === workflow);
      const best = nearest(
        shapes.filter(of => loadingSeconds(of) > 0),
        shapeOf(job),
      );
      return best === null ? 0 : loadingSeconds(best);
    },
    secondsToRoom(readyEngines) {
      const newest = [...known.values()].flatMap(
        ({ shapes }) => shapes.find(({ jobs }) => jobs.length > 0) ?? [],
      );
      const seconds = newest.flatMap(shape => wholeJob(shape, shape.jobs.at(-1)?.[0] ?? 1) ?? []);
      if (seconds.length === 0 || readyEngines === 0) return 10;
      const mean = seconds.reduce((sum, each) => sum + each, 0) / seconds.length;
      return Math.min(300, Math.max(1, Math.ceil(mean / readyEngines)));
    },
    stop() {
      storeAll();
      return access;
    },
  };
}

/** The shape of a job that may not be bound yet. Graphs scale reference images to one size, about a megapixel. */
function shapeOf({ request, size }: Job): RunShape {
  const pixels = size === null ? (request.megapixels ?? 1) * MEGAPIXEL : size.width * size.height;
  const tokens = (pixels + request.images.length * MEGAPIXEL) / 256;
  return { images: request.images.length, pixels, tokens, passes: request.cfg === 1 ? 1 : 2 };
}
