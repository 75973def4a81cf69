import fc from 'fast-check';

const anyCodePoint = fc.integer({ min: 0, max: 0x10ffff }).map(
  code => String.fromCodePoint(code),
  // By which fast-check recognizes its dangerous strings, as "__proto__", and generates them too.
  character => {
    const [first = '', ...others] = typeof character === 'string' ? character : [];
    if (first === '' || others.length > 0) throw new Error('not one character');
    return first.codePointAt(0) ?? 0;
  },
);

/**
 * Any code point, halves of surrogate pairs too, as the unit of strings; those that mean something to parsers come more
 * often. fast-check's own, `binary`, makes a table of all characters in each process that uses it, which takes 0.7 s.
 */
export const anyCharacter: fc.Arbitrary<string> = fc.oneof(
  { weight: 9, arbitrary: anyCodePoint },
  { weight: 1, arbitrary: fc.constantFrom(...'\0\t\n\r\u2028\ufeff"\'\\/%&<>{}$') },
);

/** URLs of other hosts. `fc.webUrl` makes that table, too. */
export const anyUrl: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom('http', 'https'), fc.domain(), fc.string({ unit: anyCharacter, maxLength: 20 }))
  .map(([scheme, host, path]) => `${scheme}://${host}/${encodeURIComponent(path.toWellFormed())}`);
