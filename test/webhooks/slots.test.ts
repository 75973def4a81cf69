import { expect, it } from 'vitest';
import { createPostponement } from '../../src/webhooks/slots.ts';

it('deliveries postponed for one limit become due a hundred per second after a second, without delaying others', () => {
  let at = 1_000_000;
  const pauseFor = createPostponement(() => at);
  expect([1, 2, 3].map(() => pauseFor('a'))).toEqual([1_000, 1_010, 1_020]);
  expect(pauseFor('b')).toBe(1_000);
  for (let n = 0; n < 997; n += 1) pauseFor('a');
  // Who comes in between has its turn after the others: 10 s of them, of which half a second is over.
  at += 500;
  expect(pauseFor('a')).toBe(10_500);
  at += 10_500;
  expect(pauseFor('a')).toBe(1_000);
});
