import type { z } from 'zod';
import { fileVariableOf } from './files.ts';
import { type SettingName, settings, subjects } from './settings.ts';

/** What there is to say about a setting, as plain text with Markdown's code marks. */
export interface SettingFacts {
  readonly name: string;
  /** The kind of its value: integer, duration, list … */
  readonly takes: string;
  /** Empty when the kind says it all. */
  readonly range: string;
  /** Null when it is unset by default. */
  readonly fallback: string | null;
  readonly example: string;
  readonly about: string;
  /** The variable that names a file with the value; null for a setting without one. */
  readonly fileVariable: string | null;
}

/** The facts of all settings by subject, in the order of the source. */
export function describeSettings(): readonly { subject: string; settings: readonly SettingFacts[] }[] {
  return Object.entries(subjects).map(([subject, members]) => ({
    subject,
    settings: Object.entries<z.ZodType>(members).map(([name, schema]) => factsOf(name, schema)),
  }));
}

/** The facts of one setting. */
export function describeSetting(name: SettingName): SettingFacts {
  return factsOf(name, settings[name]);
}

function factsOf(name: string, schema: z.ZodType): SettingFacts {
  const { takes, range, example, description } = metaOf(schema);
  if (typeof takes !== 'string' || typeof example !== 'string' || typeof description !== 'string') {
    throw new Error(`${name} needs its kind, an example and a description`);
  }
  return {
    name,
    takes,
    range: typeof range === 'string' ? range : '',
    fallback: fallbackOf(schema),
    example,
    about: description,
    fileVariable: fileVariableOf(name, Object.keys(settings)),
  };
}

/** What `meta` was given for a schema and for those that it wraps, the outermost first. */
function metaOf(schema: z.ZodType): z.GlobalMeta {
  const own = schema.meta() ?? {};
  const inner = 'in' in schema.def ? schema.def.in : 'innerType' in schema.def ? schema.def.innerType : null;
  return isSchema(inner) ? { ...metaOf(inner), ...own } : own;
}

function isSchema(value: unknown): value is z.ZodType {
  return typeof value === 'object' && value !== null && 'meta' in value;
}

function fallbackOf(schema: z.ZodType): string | null {
  const value = 'defaultValue' in schema.def ? schema.def.defaultValue : undefined;
  if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) return null;
  if (typeof value === 'boolean') return value ? '1' : '0';
  return String(value);
}
