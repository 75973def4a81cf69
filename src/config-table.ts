import { settings } from './config.ts';

/** The table of settings as Markdown, for the README: made from what reads the environment. */
export function settingsTable(): string {
  const rows = Object.entries(settings).map(([name, type]) => {
    const { def } = type;
    const fallback = 'defaultValue' in def ? show(def.defaultValue) : 'none';
    return `| \`${name}\` | ${fallback} | ${(type.description ?? '').replaceAll('|', '\\|')} |`;
  });
  return ['| variable | default | meaning |', '| --- | --- | --- |', ...rows].join('\n');
}

function show(value: unknown): string {
  if (value === '' || (Array.isArray(value) && value.length === 0)) return 'none';
  return typeof value === 'boolean' ? (value ? '`1`' : '`0`') : `\`${String(value)}\``;
}
