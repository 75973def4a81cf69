import { Kind, type ValueNode, valueFromASTUntyped } from 'graphql';
import type { Builder } from '../builder.ts';

const ECMA_404 = 'http://www.ecma-international.org/publications/files/ECMA-ST/ECMA-404.pdf';

/**
 * Adds the scalars. As inputs, `EditSeed` and `URL` take any value as it came: the field that they are for checks it, so that a
 * mistake is an error of the field's own and not of the whole operation.
 */
export function addScalars(builder: Builder): void {
  builder.scalarType('DateTime', {
    description:
      'A date-time string at UTC, such as 2007-12-03T10:15:30Z, compliant with the `date-time` format outlined in section 5.6 ' +
      'of the RFC 3339 profile of the ISO 8601 standard for representation of dates and times using the Gregorian calendar.',
    // To a string, because a single Date in a result makes JSON.stringify three times slower.
    serialize: date => date.toISOString(),
  });
  builder.scalarType('JSON', {
    description: `The \`JSON\` scalar type represents JSON values as specified by [ECMA-404](${ECMA_404}).`,
    specifiedByURL: ECMA_404,
    serialize: value => value,
    parseValue: value => value,
    parseLiteral: valueFromASTUntyped,
  });
  builder.scalarType('EditSeed', {
    description:
      'An integer from 0 to 18446744073709551615 (2^64-1). Returned as a decimal string; accepted as a string or an ' +
      'integer. JSON numbers above 2^53 lose digits: send them as strings. Any other value is an `EditInvalidInput`.',
    serialize: value => String(value),
    parseValue: value => value,
    parseLiteral: readLiteral,
  });
  builder.scalarType('URL', {
    description: 'An absolute http or https URL. The field that takes it checks it.',
    serialize: value => String(value),
    parseValue: value => value,
    parseLiteral: readLiteral,
  });
}

/** The value of a literal. An integer of more digits than a number keeps stays text, which loses none. */
function readLiteral(node: ValueNode, variables?: Parameters<typeof valueFromASTUntyped>[1]): unknown {
  const value = valueFromASTUntyped(node, variables);
  return node.kind === Kind.INT && !Number.isSafeInteger(value) ? node.value : value;
}
