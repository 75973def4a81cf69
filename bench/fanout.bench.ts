import { type FanoutCase, gatewayFanout, rawFanout, yogaFanout } from './support/fanout.ts';
import { atMost, type Bench, judged, overRuns, ratio, row, rowOf } from './support/measurement.ts';
import type { Series } from './support/plot.ts';

const CASE: FanoutCase = { watchers: 1_000, times: 100, everyMs: 60 };
/** Of the guard. */
const SHORT: FanoutCase = { ...CASE, times: 30 };
/** Measured once each, for the plot. */
const OTHERS: readonly FanoutCase[] = [
  { watchers: 10, times: 100, everyMs: 60 },
  { watchers: 100, times: 100, everyMs: 60 },
  { watchers: 3_000, times: 40, everyMs: 60 },
  // Yoga takes a third of a second for each change.
  { watchers: 10_000, times: 10, everyMs: 500 },
];

export const bench: Bench = {
  title: 'Server CPU for a delivered progress message, many watchers of one job',
  about:
    `${CASE.watchers} sockets, ${CASE.times} changes of one job, one every ${CASE.everyMs} ms: the gateway, beside a ` +
    'raw ws broadcast of a text as long and GraphQL Yoga with graphql-ws. The figure of the gateway contains its run ' +
    'of the job: events of the engine, commits, the picture. Before, all have a run with few watchers, for their code to be ' +
    'compiled. Server, engine and watchers are processes of their own.',
  runs: 3,
  async measure(context) {
    const measureAll = async (what: FanoutCase) => ({
      raw: await rawFanout(what),
      gateway: await gatewayFanout(what),
      yoga: await yogaFanout(what),
    });
    const runs = await overRuns(context, () => measureAll(CASE));
    const raw = rowOf(runs, 'raw ws broadcast', 'µs', run => run.raw);
    const gateway = rowOf(runs, 'gateway', 'µs', run => run.gateway);
    const yoga = rowOf(runs, 'Yoga with graphql-ws', 'µs', run => run.yoga);
    const points = [{ x: CASE.watchers, raw: raw.median, gateway: gateway.median, yoga: yoga.median }];
    for (const what of OTHERS) {
      context.note(`${what.watchers} watchers`);
      points.push({ x: what.watchers, ...(await measureAll(what)) });
    }
    points.sort((a, b) => a.x - b.x);
    const series = (name: string, pick: (point: (typeof points)[number]) => number): Series => ({
      name,
      points: points.map(point => ({ x: point.x, y: pick(point) })),
    });
    return {
      rows: [
        raw,
        gateway,
        yoga,
        ...points
          .filter(({ x }) => x !== CASE.watchers)
          .flatMap(point => [
            row(`raw ws broadcast, ${point.x} watchers`, 'µs', [point.raw]),
            row(`gateway, ${point.x} watchers`, 'µs', [point.gateway]),
            row(`Yoga with graphql-ws, ${point.x} watchers`, 'µs', [point.yoga]),
          ]),
      ],
      ratios: [
        ratio('gateway / raw ws', gateway, raw, atMost(1.4)),
        ratio('gateway / Yoga with graphql-ws', gateway, yoga),
      ],
      plots: [
        {
          file: 'fanout',
          title: 'Server CPU for a delivered message',
          x: { label: 'watchers of one job', scale: 'log' },
          y: { label: 'µs of CPU a message', scale: 'log' },
          series: [
            series('gateway', point => point.gateway),
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
