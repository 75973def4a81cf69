import { readFileSync } from 'node:fs';
import { reasonOf } from './kinds.ts';

/** The variables of an environment, by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The text of a setting, and the file that it came from. */
export interface Given {
  readonly text: string;
  readonly file: string | null;
}

export type GivenResult = { ok: true; given: Given | null } | { ok: false; fault: string };

/**
 * The name of the variable that names a file with the setting's value; null for a setting that has none, because it is
 * a path itself or because `names` has another setting of that name.
 */
export function fileVariableOf(name: string, names: readonly string[]): string | null {
  const variable = `${name}_FILE`;
  return name.endsWith('_FILE') || names.includes(variable) ? null : variable;
}

/**
 * The text of a setting, from its variable or from the file that `<name>_FILE` names. Null when both are unset or empty.
 * A fault names the variables and the path, never what is in the file.
 */
export function readGiven(name: string, names: readonly string[], environment: Environment): GivenResult {
  const text = textIn(environment, name);
  const variable = fileVariableOf(name, names);
  const file = variable === null ? null : textIn(environment, variable);
  if (file === null) return { ok: true, given: text === null ? null : { text, file: null } };
  if (text !== null) return { ok: false, fault: `${name}: set it or ${variable}, not both` };
  try {
    const content = readFileSync(file, 'utf8').trim();
    if (content !== '') return { ok: true, given: { text: content, file } };
    return { ok: false, fault: `${variable}: ${file} is empty` };
  } catch (error) {
    return { ok: false, fault: `${variable}: cannot read ${file}: ${reasonOf(error)}` };
  }
}

function textIn(environment: Environment, name: string): string | null {
  const text = environment[name]?.trim();
  return text === undefined || text === '' ? null : text;
}
