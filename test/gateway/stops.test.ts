import { expect, it } from 'vitest';
import { stopWithin } from '../../src/gateway/stops.ts';
import { recordLog } from '../support/log.ts';

it.each([
  ['hangs', () => new Promise<void>(() => {}), 'It took longer than 5 ms'],
  ['fails', () => Promise.reject(new Error('no disk')), 'no disk'],
])('a stop that %s gives exit code 1, and the reason in the log', async (_, stop, reason) => {
  const log = recordLog();
  expect(await stopWithin(5, stop, log)).toBe(1);
  expect(log.lines).toEqual([
    { level: 'error', message: 'could not stop cleanly', fields: { err: new Error(reason) } },
  ]);
});

it('a stop that ends in time gives exit code 0', async () => {
  const log = recordLog();
  expect(await stopWithin(1_000, async () => {}, log)).toBe(0);
  expect(log.lines).toEqual([]);
});
