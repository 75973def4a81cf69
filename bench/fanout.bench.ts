import {
  changesFanout,
  type FanoutCase,
  gatewayFanout,
  rawFanout,
  rawRunFanout,
  yogaFanout,
} from './support/fanout.ts';
import {
  atMost,
  type Bench,
  type BenchContext,
  judged,
  overRuns,
  ratio,
  rowOf,
} from './support/measurement.ts';
import type { Series } from './support/plot.ts';

const CASE: FanoutCase = { watchers: 1_000, times: 100, everyMs: 60 };
/** Of the guard. */
const SHORT: FanoutCase = { ...CASE, times: 30 };

/** A number of watchers, and the bar of its ratio to raw `ws`. */
interface Point extends FanoutCase {
  readonly most: number | null;
  /** Whether it is measured once, for the plot. */
  readonly once?: boolean;
}

const POINTS: readonly Point[] = [
  { watchers: 10, times: 100, everyMs: 60, most: 1.8 },
  { watchers: 100, times: 100, everyMs: 60, most: 1.3 },
  { ...CASE, most: 1.2 },
  { watchers: 3_000, times: 40, everyMs: 60, most: null, once: true },
  // Yoga takes a third of a second for each change.
  { watchers: 10_000, times: 10, everyMs: 500, most: null, once: true },
];

export const bench: Bench = {
  title: 'Server CPU for a delivered progress message, many watchers of one job',
  about:
    `${POINTS.map(({ watchers }) => watchers).join(', ')} sockets, ${CASE.times} changes of one job (fewer for the last two), ` +
    `one every ${CASE.everyMs} ms: the gateway, beside a raw ws broadcast of a text as long and GraphQL Yoga with ` +
    'graphql-ws. "Gateway" contains its run of the job: events of the engine, commits, the picture. "Delivery" is the same ' +
    'gateway with changes that come from no engine, handed to the feed, and "with commits" stored first, as steps are: neither peer ' +
    'has anything of the kind. "With a run" the raw server is a client of the engine, too, and parses each of its events: the least ' +
    'that a run can cost; "flushed": it appends each text to a file and flushes that. Before, all make 600 changes with few watchers, for their code to be compiled. Server, engine and ' +
    'watchers are processes of their own.',
  runs: 3,
  async measure(context) {
    const points: Measured[] = [];
    for (const point of POINTS) {
      context.note(`${point.watchers} watchers`);
      points.push(await measurePoint(context, point));
    }
    const series = (name: string, pick: (point: Measured) => { readonly median: number }): Series => ({
      name,
      points: points.map(point => ({ x: point.watchers, y: pick(point).median })),
    });
    return {
      rows: points.flatMap(({ raw, rawRun, rawStored, gateway, delivery, committed, yoga }) => [
        raw,
        rawRun,
        rawStored,
        gateway,
        delivery,
        committed,
        yoga,
      ]),
      ratios: points.flatMap(
        ({ watchers, most, raw, rawRun, rawStored, gateway, delivery, committed, yoga }) => [
          ratio(`gateway / raw ws${suffixOf(watchers)}`, gateway, raw, most === null ? null : atMost(most)),
          ratio(`gateway / raw ws with a run${suffixOf(watchers)}`, gateway, rawRun),
          ratio(`gateway / raw ws with a run, flushed${suffixOf(watchers)}`, gateway, rawStored),
          ratio(`raw ws with a run / raw ws${suffixOf(watchers)}`, rawRun, raw),
          ratio(`delivery / raw ws${suffixOf(watchers)}`, delivery, raw),
          ratio(`delivery with commits / raw ws${suffixOf(watchers)}`, committed, raw),
          ratio(`gateway / Yoga with graphql-ws${suffixOf(watchers)}`, gateway, yoga, atMost(1)),
          ratio(`delivery / Yoga with graphql-ws${suffixOf(watchers)}`, delivery, yoga),
        ],
      ),
      plots: [
        {
          file: 'fanout',
          title: 'Server CPU for a delivered message',
          x: { label: 'watchers of one job', scale: 'log' },
          y: { label: 'µs of CPU a message', scale: 'log' },
          series: [
            series('gateway', point => point.gateway),
            series('delivery', point => point.delivery),
            series('raw ws broadcast', point => point.raw),
            series('Yoga with graphql-ws', point => point.yoga),
          ],
        },
      ],
    };
  },
  guard: {
    async measure() {
      const raw = await rawFanout(SHORT);
      return { rows: [], ratios: [judged('gateway / raw ws', (await gatewayFanout(SHORT)) / raw)] };
    },
    figures: [{ name: 'gateway / raw ws', better: 'lower', noise: 0.3 }],
  },
};

type Measured = Awaited<ReturnType<typeof measurePoint>>;

async function measurePoint(context: BenchContext, point: Point) {
  const runs = await overRuns(point.once === true ? { ...context, runs: 1 } : context, async () => ({
    raw: await rawFanout(point),
    gateway: await gatewayFanout(point),
    delivery: await changesFanout('announce', point),
    committed: await changesFanout('commit', point),
    rawRun: await rawRunFanout(point, { stored: false }),
    rawStored: await rawRunFanout(point, { stored: true }),
    yoga: await yogaFanout(point),
  }));
  const { watchers, most } = point;
  const suffix = suffixOf(watchers);
  return {
    watchers,
    most,
    raw: rowOf(runs, `raw ws broadcast${suffix}`, 'µs', run => run.raw),
    gateway: rowOf(runs, `gateway${suffix}`, 'µs', run => run.gateway),
    delivery: rowOf(runs, `delivery${suffix}`, 'µs', run => run.delivery),
    committed: rowOf(runs, `delivery with commits${suffix}`, 'µs', run => run.committed),
    rawRun: rowOf(runs, `raw ws with a run${suffix}`, 'µs', run => run.rawRun),
    rawStored: rowOf(runs, `raw ws with a run, flushed${suffix}`, 'µs', run => run.rawStored),
    yoga: rowOf(runs, `Yoga with graphql-ws${suffix}`, 'µs', run => run.yoga),
  };
}

function suffixOf(watchers: number): string {
  return watchers === CASE.watchers ? '' : `, ${watchers} watchers`;
}
