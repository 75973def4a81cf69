import { Counter, Histogram, type Registry } from 'prom-client';

/*
 * Metrics of the hot paths. prom-client checks and hashes the labels of each observation, which takes longer than the rest of
 * the count: here counts are plain numbers, which it gets when it is scraped.
 */

type LabelValue = string | number;

interface MetricOptions<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly registry: Registry;
}

/** Creates a counter. The function it returns adds 1 to the series of these label values, in the order of `labelNames`. */
export function createTally<Label extends string>(
  options: MetricOptions<Label>,
): (...values: LabelValue[]) => void {
  const { name, help, labelNames, registry } = options;
  const series = createSeries(labelNames, labels => ({ labels, count: 0 }));
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels, count } of series.all) this.inc(labels, count);
    },
  });
  return (...values) => {
    series.of(values).count += 1;
  };
}

/**
 * Creates a histogram with these upper bounds, in ascending order. The function it returns counts a value in the series of
 * these label values, in the order of `labelNames`.
 */
export function createDistribution<Label extends string>(
  options: MetricOptions<Label> & { readonly buckets: readonly number[] },
): (value: number, ...values: LabelValue[]) => void {
  const { name, help, labelNames, registry, buckets } = options;
  const series = createSeries(labelNames, labels => ({
    labels,
    counts: buckets.map(() => 0),
    count: 0,
    sum: 0,
  }));
  registry.registerMetric(
    new ReadHistogram({ name, help, labelNames, buckets: [...buckets], registers: [] }, () =>
      series.all.flatMap(({ labels, counts, count, sum }) => {
        let below = 0;
        const bucket = (le: LabelValue, value: number) => ({
          metricName: `${name}_bucket`,
          labels: { le, ...labels },
          value,
        });
        return [
          ...buckets.map((le, at) => {
            below += counts[at] ?? 0;
            return bucket(le, below);
          }),
          bucket('+Inf', count),
          { metricName: `${name}_sum`, labels, value: sum },
          { metricName: `${name}_count`, labels, value: count },
        ];
      }),
    ),
  );
  return (value, ...values) => {
    const one = series.of(values);
    one.count += 1;
    one.sum += value;
    const at = buckets.findIndex(bound => value <= bound);
    const count = one.counts[at];
    if (count !== undefined) one.counts[at] = count + 1;
  };
}

type Samples<Label extends string> = Awaited<ReturnType<Histogram<Label>['get']>>['values'];

/** A histogram whose samples are read when it is scraped. */
class ReadHistogram<Label extends string> extends Histogram<Label> {
  /** Without samples: `get` of the base class would come back here. */
  readonly #empty: Histogram<Label>;
  readonly #read: () => Samples<Label>;

  constructor(configuration: ConstructorParameters<typeof Histogram<Label>>[0], read: () => Samples<Label>) {
    super(configuration);
    this.#empty = new Histogram(configuration);
    this.#read = read;
  }

  override async get(): ReturnType<Histogram<Label>['get']> {
    return { ...(await this.#empty.get()), values: this.#read() };
  }

  /** What a registry asks for instead of `get` where a metric has it, as the histogram of prom-client does. */
  getForPromString(): ReturnType<Histogram<Label>['get']> {
    return this.get();
  }
}

interface Series<Value> {
  /** The value of these labels, made when it is first asked for. */
  of(values: readonly LabelValue[]): Value;
  /** All values so far. */
  readonly all: readonly Value[];
}

interface Branch<Value> {
  readonly below: Map<LabelValue, Branch<Value>>;
  value: Value | null;
}

function createSeries<Label extends string, Value>(
  names: readonly Label[],
  create: (labels: Partial<Record<Label, LabelValue>>) => Value,
): Series<Value> {
  const root: Branch<Value> = { below: new Map(), value: null };
  const all: Value[] = [];
  return {
    all,
    // A map for each label, because a key of all of them would be built and hashed for each count.
    of(values) {
      let branch = root;
      for (const value of values) {
        let next = branch.below.get(value);
        if (next === undefined) {
          next = { below: new Map(), value: null };
          branch.below.set(value, next);
        }
        branch = next;
      }
      if (branch.value === null) {
        const labels: Partial<Record<Label, LabelValue>> = {};
        for (const [at, name] of names.entries()) labels[name] = values[at];
        branch.value = create(labels);
        all.push(branch.value);
      }
      return branch.value;
    },
  };
}
