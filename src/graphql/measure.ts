import {
  type ArgumentNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type SelectionSetNode,
  type ValueNode,
} from 'graphql';

/** The size of a document with all fragments inlined. */
export interface Measure {
  /** Nested fields. */
  readonly depth: number;
  readonly aliases: number;
  readonly directives: number;
  /** Fields that could be resolved; those below a list count once for each member. */
  readonly cost: number;
}

/** With the number of fields once fragments are inlined; those below a list count once. */
export interface Measured extends Measure {
  readonly fields: number;
}

/** The largest page, assumed for `first: $variable`, whose value is not known yet; also the most `ids` of `nodes`. */
export const PAGE_LIMIT = 100;
/** The size of a page of a connection whose arguments give none. */
export const PAGE_SIZE = 20;
/** Assumed members of a list without a page size. */
const LIST_MEMBERS = 5;
/** A mutation fetches images or changes an engine; a preview is read and encoded; an input image is looked up. */
const WEIGHTS: Readonly<Record<string, number>> = {
  Mutation: 50,
  'EditPreviewImage.dataUri': 20,
  'EditInputImage.url': 5,
  'EditMask.url': 5,
};
const NOTHING: Measured = { depth: 0, aliases: 0, directives: 0, cost: 0, fields: 0 };

/**
 * Measures selections below `type`. Each fragment is measured once, however often it is spread, so the time grows with the
 * document's text even where inlined fragments would grow exponentially. Introspection counts as one field: graphql-js
 * limits its depth.
 */
export function measureSelections(
  schema: GraphQLSchema,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  selections: SelectionSetNode,
  type: GraphQLNamedType | undefined,
): Measured {
  const known = new Map<string, Measured>();

  function fragment(name: string, sized: boolean): Measured {
    const key = `${name} ${sized}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    // Another rule rejects a fragment that includes itself.
    known.set(key, NOTHING);
    const definition = fragments.get(name);
    if (definition === undefined) return NOTHING;
    const inner = set(definition.selectionSet, schema.getType(definition.typeCondition.name.value), sized);
    const measured = { ...inner, directives: inner.directives + (definition.directives?.length ?? 0) };
    known.set(key, measured);
    return measured;
  }

  /** `sized`: inside a page whose size has been counted already. */
  function set(of: SelectionSetNode, parent: GraphQLNamedType | undefined, sized: boolean): Measured {
    let total = NOTHING;
    for (const selection of of.selections) {
      const own: Measured = { ...NOTHING, directives: selection.directives?.length ?? 0 };
      switch (selection.kind) {
        case Kind.FRAGMENT_SPREAD:
          total = add(total, add(own, fragment(selection.name.value, sized)));
          break;
        case Kind.INLINE_FRAGMENT: {
          const condition = selection.typeCondition?.name.value;
          const inner = condition === undefined ? parent : schema.getType(condition);
          total = add(total, add(own, set(selection.selectionSet, inner, sized)));
          break;
        }
        case Kind.FIELD: {
          const name = selection.name.value;
          const field = fieldOf(parent, name);
          const page = pageOf(field, selection.arguments ?? []);
          const list = field !== undefined && isListType(getNullableType(field.type));
          const members = page ?? (list && !sized ? LIST_MEMBERS : 1);
          const below =
            selection.selectionSet === undefined
              ? NOTHING
              : set(
                  selection.selectionSet,
                  field && getNamedType(field.type),
                  page !== null || (sized && !list),
                );
          const weight = WEIGHTS[`${parent?.name}.${name}`] ?? WEIGHTS[parent?.name ?? ''] ?? 1;
          total = add(total, {
            depth: name.startsWith('__') ? 1 : 1 + below.depth,
            aliases: (selection.alias === undefined ? 0 : 1) + below.aliases,
            directives: own.directives + below.directives,
            cost: name.startsWith('__') ? 1 : weight + members * below.cost,
            fields: 1 + below.fields,
          });
          break;
        }
        default:
          selection satisfies never;
      }
    }
    return total;
  }

  return set(selections, type, false);
}

function fieldOf(
  parent: GraphQLNamedType | undefined,
  name: string,
): GraphQLField<unknown, unknown> | undefined {
  return isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name] : undefined;
}

/** The arguments that say how many members a field has at most. */
const SIZES = ['first', 'last', 'ids'];

/** The requested number of members of a paginated field or of `nodes`; null for other fields. */
function pageOf(
  field: GraphQLField<unknown, unknown> | undefined,
  given: readonly ArgumentNode[],
): number | null {
  const declared = field?.args.filter(({ name }) => SIZES.includes(name)) ?? [];
  if (declared.length === 0) return null;
  const values = given.filter(({ name }) => SIZES.includes(name.value)).map(({ value }) => value);
  const sizes = values.filter(({ kind }) => kind !== Kind.NULL).map(sizeOf);
  return sizes.length > 0 ? Math.max(...sizes) : Number(declared[0]?.defaultValue ?? PAGE_SIZE);
}

function sizeOf(value: ValueNode): number {
  switch (value.kind) {
    case Kind.INT:
      return Math.min(Math.max(0, Number(value.value)), PAGE_LIMIT);
    case Kind.LIST:
      return Math.min(value.values.length, PAGE_LIMIT);
    // Not known yet, or not valid.
    default:
      return PAGE_LIMIT;
  }
}

function add(a: Measured, b: Measured): Measured {
  return {
    depth: Math.max(a.depth, b.depth),
    aliases: a.aliases + b.aliases,
    directives: a.directives + b.directives,
    cost: a.cost + b.cost,
    fields: a.fields + b.fields,
  };
}
