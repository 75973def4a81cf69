import type { z } from 'zod';
import { didYouMean, show } from '../messages.ts';

type Issue = z.core.$ZodIssue;

/**
 * What is wrong with a file, one line a fault: the file, the field, what came and what it takes. `schema` is the JSON
 * Schema of the file, which knows the names and descriptions of its fields.
 */
export function describeIssues(
  file: string,
  error: z.ZodError,
  input: unknown,
  schema: Record<string, unknown>,
): string[] {
  return error.issues
    .flatMap(issue => deepest(issue))
    .map(issue => {
      const path = issue.path.map(String);
      return `${file}: ${path.length === 0 ? 'the file' : path.join('.')}: ${describe(issue, at(input, issue.path), schema)}`;
    });
}

/** The issues of the branch of a union that came furthest: the one the author most likely meant. */
function deepest(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const branches = issue.errors.map(branch =>
    branch.flatMap(inner => deepest({ ...inner, path: [...issue.path, ...inner.path] })),
  );
  const depth = (branch: Issue[]) => Math.max(0, ...branch.map(({ path }) => path.length));
  const meant = branches.toSorted((left, right) => depth(right) - depth(left))[0];
  // Nothing inside fits better than the rest: then the union as a whole says what it takes.
  return meant === undefined || depth(meant) <= issue.path.length ? unionOrKeys(issue, branches) : meant;
}

function unionOrKeys(issue: Issue, branches: Issue[][]): Issue[] {
  return branches.find(branch => branch.some(({ code }) => code === 'unrecognized_keys')) ?? [issue];
}

function describe(issue: Issue, value: unknown, schema: Record<string, unknown>): string {
  if (issue.code === 'unrecognized_keys') {
    const known = propertiesOf(schemasAt(schema, issue.path));
    const names = issue.keys.map(key => `"${key}"${didYouMean(key, known)}`).join(', ');
    return `got the unknown ${issue.keys.length === 1 ? 'field' : 'fields'} ${names}; takes ${known.join(', ')}`;
  }
  const got = value === undefined ? 'is missing' : `got ${show(value)}`;
  return `${got}; takes ${expected(issue, value, schemasAt(schema, issue.path))}`;
}

function expected(issue: Issue, value: unknown, schemas: readonly Node[]): string {
  const description = schemas.map(node => node.description).find(text => typeof text === 'string');
  const about = typeof description === 'string' ? ` (${description})` : '';
  switch (issue.code) {
    case 'invalid_type':
      return `${article(issue.expected)}${about}`;
    case 'invalid_value': {
      const values = issue.values.map(entry => String(entry));
      return `one of ${values.join(', ')}${typeof value === 'string' ? didYouMean(value, values) : ''}`;
    }
    case 'too_small':
      return `at least ${issue.minimum}${counted(issue.origin, issue.minimum)}`;
    case 'too_big':
      return `at most ${issue.maximum}${counted(issue.origin, issue.maximum)}`;
    default:
      return typeof description === 'string' ? description : issue.message;
  }
}

const ARTICLES: Record<string, string> = {
  string: 'a text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function article(type: string): string {
  return ARTICLES[type] ?? type;
}

function counted(origin: string, count: number | bigint): string {
  if (origin === 'array') return Number(count) === 1 ? ' entry' : ' entries';
  if (origin === 'string') return Number(count) === 1 ? ' character' : ' characters';
  return '';
}

type Node = Record<string, unknown>;

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every subschema that may apply at a path: unions fan out. */
function schemasAt(schema: Node, path: readonly PropertyKey[]): readonly Node[] {
  let here = fanOut([schema]);
  for (const key of path) {
    here = fanOut(
      here.flatMap(node => {
        const properties = node.properties;
        const named = isNode(properties) ? properties[String(key)] : undefined;
        return [named, typeof key === 'number' ? node.items : undefined, node.additionalProperties].filter(
          isNode,
        );
      }),
    );
  }
  return here;
}

function fanOut(nodes: readonly Node[]): Node[] {
  return nodes.flatMap(node => {
    const branches = [node.anyOf, node.oneOf].flatMap(list =>
      Array.isArray(list) ? list.filter(isNode) : [],
    );
    return branches.length === 0 ? [node] : [node, ...fanOut(branches)];
  });
}

function propertiesOf(schemas: readonly Node[]): string[] {
  return [
    ...new Set(schemas.flatMap(({ properties }) => (isNode(properties) ? Object.keys(properties) : []))),
  ];
}

function at(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}
