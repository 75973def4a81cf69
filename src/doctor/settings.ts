import { describeSetting } from '../config/describe.ts';
import type { Environment } from '../config/files.ts';
import { type SettingName, settings } from '../config/settings.ts';
import { misspelled } from '../config.ts';
import { type Check, reporter } from './check.ts';

/** The faults of settings that could not be read, each with a line that is valid. */
export function settingFaults(faults: readonly string[]): Check[] {
  return faults.map(fault => {
    const [, name = '', where = '', message = fault] = /^([A-Z0-9_]+)( in [^:]*)?: (.*)$/s.exec(fault) ?? [];
    return reporter('settings', name === '' ? null : `${name}${where}`).wrong(message, fixOf(name, message));
  });
}

function fixOf(name: string, message: string): string {
  if (message.endsWith('not both')) return `unset ${name} or ${name}_FILE`;
  if (isSetting(name) && /^(takes|is required|cannot read)/.test(message)) {
    return `for example ${name}=${describeSetting(name).example}`;
  }
  if (name === 'HOST') return 'HOST=127.0.0.1, or API_KEYS=<the entry that make-key prints>';
  return `correct ${name}, see docs/configuration.md`;
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}

/** How many settings of an environment are set, and what looks like one and is none. */
export function settingsFound(environment: Environment): Check[] {
  const set = Object.keys(settings).filter(name =>
    [name, `${name}_FILE`].some(variable => (environment[variable] ?? '').trim() !== ''),
  );
  const typos = misspelled(environment).map(({ name, meant }) =>
    reporter('settings', name).warning('is not a setting', `rename it to ${meant}`),
  );
  const names = set.length === 0 ? 'all have their defaults' : `valid: ${set.join(', ')}`;
  return [...typos, reporter('settings', null).ok(names)];
}
