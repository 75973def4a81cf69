import { show } from '../../workflows/messages.ts';

/** A name of a model that stands for a workflow. */
export interface ModelAlias {
  /** `*` is every name that is neither a workflow's nor another alias. */
  readonly name: string;
  /** Null: the default workflow. */
  readonly workflow: string | null;
}

const RULE = 'takes names of models, each alone or as name=workflow, comma-separated';

/** Reads OPENAI_MODEL_ALIASES. */
export function parseModelAliases(
  text: string,
): { ok: true; value: readonly ModelAlias[] } | { ok: false; fault: string } {
  const aliases: ModelAlias[] = [];
  for (const part of text.split(',')) {
    const entry = part.trim();
    if (entry === '') continue;
    const [name = '', workflow = null, more] = entry.split('=').map(side => side.trim());
    if (name === '' || workflow === '' || more !== undefined) {
      return { ok: false, fault: `${RULE}, got ${show(entry)}` };
    }
    if (aliases.some(alias => alias.name === name)) {
      return { ok: false, fault: `takes each name once, got ${show(name)} twice` };
    }
    aliases.push({ name, workflow });
  }
  return { ok: true, value: aliases };
}
