import { readEngineName } from '../comfyui/names.ts';
import type { Environment } from '../config/files.ts';
import type { Config } from '../config.ts';
import { resolveEngineName } from '../dispatch/fleet/names.ts';
import { SYSTEM_RESOLVER, usesSandbox } from '../gateway/engines.ts';
import type { Workflow } from '../workflows/workflow.ts';
import { type Check, reporter } from './check.ts';
import { checkDisks } from './disk.ts';
import { checkEngine, type EngineFindings } from './engine.ts';
import { checkGateway, findGateway } from './gateway.ts';
import { checkImages } from './images.ts';
import { checkProxy } from './proxy.ts';
import { settingsFound } from './settings.ts';
import { checkStore } from './store.ts';
import { checkTokens } from './tokens.ts';
import { checkWake } from './wake.ts';
import { checkDefault, checkWorkflows } from './workflows.ts';

/**
 * Checks all that a gateway with these settings needs, at the same time, and yields what was found in a fixed order. Changes
 * nothing: probes of the stores are removed again.
 */
export async function* examine(config: Config, environment: Environment): AsyncGenerator<Check> {
  const gateway = findGateway(config);
  const loaded = checkWorkflows(config);
  const engines = loaded.then(({ workflows }) => engineFindings(config, workflows));
  const parts: readonly Promise<readonly Check[]>[] = [
    gateway.then(checkGateway),
    loaded.then(({ checks }) => checks),
    checkStore(config, gateway),
    checkImages(config),
    checkDisks(config),
    engines.then(found => engineChecks(config, found)),
    checkWake(config),
    checkProxy(config),
    checkTokens(config),
  ];
  // A part that fails while an earlier one is awaited is reported when its turn comes.
  for (const part of parts) part.catch(() => undefined);
  yield* settingsFound(environment);
  for (const part of parts) yield* await part;
}

/** Of each engine in `COMFYUI_URL`, also of those that its names lead to now. */
async function engineFindings(config: Config, workflows: readonly Workflow[]): Promise<EngineFindings[]> {
  const found = await Promise.all(
    config.COMFYUI_URL.map(async text => {
      const name = readEngineName(text);
      if (name === null) return [await checkEngine(text, config, workflows)];
      const urls = await resolveEngineName(name, SYSTEM_RESOLVER).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      );
      if (urls instanceof Error) {
        return [
          unreachable(
            name.text,
            `the name cannot be looked up (${urls.message})`,
            'check the name and the name server',
          ),
        ];
      }
      if (urls.length === 0) {
        const advice = 'start an engine under the name, or correct COMFYUI_URL';
        return [unreachable(name.text, 'the name has no addresses now', advice)];
      }
      return Promise.all(urls.map(url => checkEngine(url, config, workflows, name.text)));
    }),
  );
  return found.flat();
}

/** A name that leads to no engine. */
function unreachable(name: string, found: string, advice: string): EngineFindings {
  const check = reporter('engine', name).warning(found, advice);
  return { checks: [check], runs: null };
}

function engineChecks(config: Config, found: readonly EngineFindings[]): Check[] {
  if (found.length === 0 && !usesSandbox(config)) {
    return [reporter('engine', null).ok('COMFYUI_URL is not set: engines are added while the gateway runs')];
  }
  if (found.length === 0) {
    return [
      reporter('engine', null).warning(
        'COMFYUI_URL is not set: the gateway uses the sandbox, which runs no model',
        'COMFYUI_URL=http://127.0.0.1:8188',
      ),
    ];
  }
  const known = found.flatMap(({ runs }) => (runs === null ? [] : [runs]));
  const runs = known.length === 0 ? null : new Set(known.flat());
  return [...found.flatMap(({ checks }) => checks), ...checkDefault(config, runs)];
}
