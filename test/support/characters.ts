import fc from 'fast-check';

/**
 * Any code point, halves of surrogate pairs too, as the unit of strings, with those that mean something to parsers more often. fast-check's own, `binary`, makes a
 * table of all characters in each process that uses it, which takes 0.7 s and 60 MB.
 */
export const anyCharacter: fc.Arbitrary<string> = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: 0x10ffff }).map(code => String.fromCodePoint(code)) },
  { weight: 1, arbitrary: fc.constantFrom(...'\0\t\n\r\u2028\ufeff"\'\\/%&<>{}$') },
);

/** URLs of other hosts. `fc.webUrl` makes that table, too. */
export const anyUrl: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom('http', 'https'), fc.domain(), fc.string({ unit: anyCharacter, maxLength: 20 }))
  .map(([scheme, host, path]) => `${scheme}://${host}/${encodeURIComponent(path.toWellFormed())}`);
