import { GraphQLError, Kind } from 'graphql';
import { SEED_MAX } from '../../workflows/bind/bind.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';

/** Adds `EditSeed` and `URL`. */
export function addScalars(builder: Builder): void {
  builder.scalarType('EditSeed', {
    description:
      'An integer from 0 to 18446744073709551615 (2^64-1). Returned as a decimal string; accepted as a string or an ' +
      'integer. JSON numbers above 2^53 lose digits: send them as strings.',
    serialize: value => String(value),
    parseValue: readSeed,
    parseLiteral(node) {
      if (node.kind === Kind.INT || node.kind === Kind.STRING) return readSeed(node.value);
      throw new GraphQLError(`EditSeed takes an integer or a decimal string, got a ${node.kind}`, {
        nodes: node,
      });
    },
  });
  builder.scalarType('URL', {
    description: 'An absolute http or https URL.',
    serialize: value => String(value),
    parseValue: readUrl,
    parseLiteral(node) {
      if (node.kind === Kind.STRING) return readUrl(node.value);
      throw new GraphQLError(`URL takes a string, got a ${node.kind}`, { nodes: node });
    },
  });
}

function readSeed(value: unknown): string {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && !Number.isSafeInteger(value)) {
    throw new GraphQLError(`EditSeed got ${value}, too large for a JSON number: send it as a string`);
  }
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || !/^\d{1,20}$/.test(text) || BigInt(text) > SEED_MAX) {
    throw new GraphQLError(`EditSeed takes an integer from 0 to ${SEED_MAX}, got ${show(value)}`);
  }
  return BigInt(text).toString();
}

function readUrl(value: unknown): string {
  if (typeof value === 'string' && /^https?:\/\//i.test(value) && URL.canParse(value)) return value;
  throw new GraphQLError(`URL takes an absolute http or https URL, got ${show(value)}`);
}
