/** Returns a number from 0 (inclusive) to 1 (exclusive). */
export type Random = () => number;

/** The same sequence for the same seed (mulberry32). Not for secrets. */
export function seededRandom(seed: number | bigint): Random {
  let state = Number(BigInt.asUintN(32, BigInt(seed) ^ (BigInt(seed) >> 32n)));
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
