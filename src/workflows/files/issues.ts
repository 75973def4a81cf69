import { z } from 'zod';
import { didYouMean, show } from '../messages.ts';

/** The content of a file, or its problems: each names the file, the field, what it got and what it takes. */
export function parseContent<T>(
  file: string,
  schema: z.ZodType<T>,
  content: unknown,
): { data: T } | { problems: string[] } {
  // Few are read, so generating a faster parser first would take longer than it saves.
  const parsed = schema.safeParse(content, { error: describe, jitless: true });
  if (parsed.success) return { data: parsed.data };
  const problems = parsed.error.issues
    .flatMap(deepest)
    .map(({ path, message }) => `${file}: ${path.length === 0 ? 'the file' : path.join('.')}: ${message}`);
  return { problems };
}

/** The issues of the branch of a union that matched furthest: most likely the one the author meant. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const branches = issue.errors.map(branch =>
    branch.flatMap(inner => deepest({ ...inner, path: [...issue.path, ...inner.path] })),
  );
  const depth = (branch: z.core.$ZodIssue[]) => Math.max(0, ...branch.map(({ path }) => path.length));
  const meant = branches.toSorted((left, right) => depth(right) - depth(left))[0];
  if (meant !== undefined && depth(meant) > issue.path.length) return meant;
  // No branch matched further than the others: the union as a whole says what it takes.
  return branches.find(branch => branch.some(({ code }) => code === 'unrecognized_keys')) ?? [issue];
}

const TYPES: Record<string, string> = {
  string: 'a string',
  int: 'an integer',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** What a field got and what it takes; its description in the schema is part of that. */
function describe(issue: z.core.$ZodRawIssue): string {
  const { schema, input } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const names = issue.keys.map(key => `"${key}"${didYouMean(key, known)}`).join(', ');
    return `got the unknown ${issue.keys.length === 1 ? 'field' : 'fields'} ${names}; takes ${known.join(', ')}`;
  }
  const description = schema instanceof z.ZodType ? schema.description : undefined;
  return `${input === undefined ? 'is missing' : `got ${show(input)}`}; takes ${expected(issue, description)}`;
}

function expected(issue: z.core.$ZodRawIssue, description: string | undefined): string {
  switch (issue.code) {
    case 'invalid_type':
      return `${TYPES[issue.expected] ?? issue.expected}${description === undefined ? '' : ` (${description})`}`;
    case 'invalid_value': {
      const values = issue.values.map(String);
      const hint = typeof issue.input === 'string' ? didYouMean(issue.input, values) : '';
      return `one of ${values.join(', ')}${hint}`;
    }
    case 'too_small':
      return `at least ${counted(issue.minimum, issue.origin)}`;
    case 'too_big':
      return `at most ${counted(issue.maximum, issue.origin)}`;
    default:
      return description ?? 'another value';
  }
}

function counted(count: number | bigint, origin: string): string {
  const one = Number(count) === 1;
  if (origin === 'array') return `${count} ${one ? 'entry' : 'entries'}`;
  if (origin === 'string') return `${count} ${one ? 'character' : 'characters'}`;
  return String(count);
}
