import { Kind, type ValueNode, valueFromASTUntyped } from 'graphql';
import type { Builder } from '../builder.ts';

/**
 * Adds `EditSeed` and `URL`. As inputs they take any value as it came: the field that they are for checks it, so that a
 * mistake is an error of the field's own and not of the whole operation.
 */
export function addScalars(builder: Builder): void {
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
