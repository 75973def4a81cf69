import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 200;

/** Resolves when the samples of a metric with this label add up to `sum` or more, in what `scrape` returns. */
export async function untilSum(
  scrape: () => Promise<string>,
  name: string,
  label: string,
  sum: number,
): Promise<void> {
  for (;;) {
    const lines = (await scrape()).split('\n');
    const values = lines
      .filter(line => line.startsWith(`${name}{`) && line.includes(label))
      .map(line => Number(line.slice(line.lastIndexOf(' ') + 1)));
    if (values.reduce((total, value) => total + value, 0) >= sum) return;
    await delay(POLL_MS);
  }
}
