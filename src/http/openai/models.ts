import type { FastifyInstance } from 'fastify';
import { didYouMean, show } from '../../workflows/messages.ts';
import type { OpenAIOptions } from './context.ts';
import { rejectAsOpenAI, sendFault } from './errors.ts';

export type ModelChoice = { ok: true; workflow: string | null } | { ok: false; message: string };

/**
 * The workflow that a `model` names; null: the default one, which is another with a mask than without. An alias of a
 * workflow that does not suit an edit with a mask, or one without, is the default, too.
 */
export function chooseModel(
  { services, aliases }: Pick<OpenAIOptions, 'services' | 'aliases'>,
  model: string | null,
  masked: boolean,
): ModelChoice {
  if (model === null) return { ok: true, workflow: null };
  const { workflows } = services;
  if (workflows.all().some(({ name }) => name === model)) return { ok: true, workflow: model };
  const alias =
    aliases.find(({ name }) => name === model) ?? aliases.find(({ name }) => name === '*') ?? null;
  if (alias === null) {
    const names = workflows.all().map(({ name }) => name);
    return {
      ok: false,
      message: `The model ${show(model)} does not exist here: take one of GET /v1/models, or let the operator add it to OPENAI_MODEL_ALIASES${didYouMean(model, names)}`,
    };
  }
  if (alias.workflow === null) return { ok: true, workflow: null };
  const chosen = workflows.choose(alias.workflow, masked);
  if (!chosen.ok) return { ok: false, message: `OPENAI_MODEL_ALIASES: ${chosen.message}` };
  const suits = (chosen.workflow.manifest.mask !== undefined) === masked;
  return { ok: true, workflow: suits ? alias.workflow : null };
}

/** GET `/models` and `/models/{id}`: the workflows, then their aliases. */
export function modelRoutes(app: FastifyInstance, options: OpenAIOptions): void {
  const { services, aliases } = options;
  // Workflows have no time of their own.
  const created = Math.floor(Date.now() / 1000);
  const config = { reject: rejectAsOpenAI };

  function modelsNow() {
    const names = services.workflows.all().map(({ name }) => name);
    const more = aliases.map(({ name }) => name).filter(name => name !== '*' && !names.includes(name));
    return [...names, ...more].map(id => ({
      id,
      object: 'model' as const,
      created,
      owned_by: 'qwen-edit-gateway',
    }));
  }

  app.get('/models', { config }, async () => ({ object: 'list', data: modelsNow() }));

  app.get<{ Params: { id: string } }>('/models/:id', { config }, async (request, reply) => {
    const { id } = request.params;
    const found = modelsNow().find(model => model.id === id);
    if (found !== undefined) return found;
    const message = `The model ${show(id)} does not exist here: take one of GET /v1/models`;
    return sendFault(reply, { status: 404, message, param: 'model', code: 'model_not_found' });
  });
}
