import fc from 'fast-check';

/** How many requests each face gets: FUZZ_RUNS, 300 when left out. */
export const RUNS = Number(process.env.FUZZ_RUNS ?? 300);
/** What the requests are made from: FUZZ_SEED, another one each time when left out. It is printed. */
export const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Enough for the slowest request, each. */
export const TIMEOUT_MS = 30_000 + RUNS * 100;

/** Anything that JSON can say, and what tends to break things. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(
      '',
      ' ',
      '\0',
      '../../etc/passwd',
      '__proto__',
      'constructor',
      '🦊',
      '\ud800',
      'x'.repeat(20_000),
      -1,
      0,
      1e308,
      -1e308,
      2 ** 53,
      Number.MIN_VALUE,
      [],
      {},
      null,
      true,
      [[[[[[[[[[]]]]]]]]]],
    ),
  },
);

/** Pictures that can be had, cannot be had, and are none. */
export function images(pictures: string): fc.Arbitrary<unknown> {
  return fc.oneof(
    fc.constantFrom<unknown>(
      `${pictures}/red.png`,
      `${pictures}/blue.jpg`,
      `${pictures}/missing`,
      `${pictures}/page.html`,
      'http://10.0.0.1/x.png',
      'http://[::1]/',
      'file:///etc/passwd',
      'data:image/png;base64,AAAA',
      'data:,',
      'upload:x',
      'job:x',
    ),
    fc.webUrl({ validSchemes: ['http'] }).map(() => 'http://127.0.0.1:1/'),
    anyValue,
  );
}
