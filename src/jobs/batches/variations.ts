import { randomInt } from 'node:crypto';
import { SEED_MAX } from '../../workflows/bind/seed.ts';

/** A random seed. Below 2^48, so that reading it back as a number loses nothing. */
export function randomSeed(): string {
  return String(randomInt(2 ** 48 - 1));
}

/** The seeds of `count` variations, each another: from the given one on, after the highest from 0; null: random ones. */
export function seedsOf(seed: string | null, count: number): readonly string[] {
  if (seed !== null) {
    return Array.from({ length: count }, (_, n) => String((BigInt(seed) + BigInt(n)) % (SEED_MAX + 1n)));
  }
  const seeds = new Set<string>();
  while (seeds.size < count) seeds.add(randomSeed());
  return [...seeds];
}
