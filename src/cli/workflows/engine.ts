import { z } from 'zod';
import { createEngineClient } from '../../comfyui/client.ts';
import { type EngineCredentials, NO_CREDENTIALS, urlCredentialsFault } from '../../comfyui/credentials.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import { checkAgainstEngine, modelsOnEngine } from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import { CommandFailure } from '../outcome.ts';
import { explainProblem, type Findings, filesOf, source } from './knowledge.ts';

const ENGINE_TIMEOUT_MS = 60_000;
/** The settings that have credentials of engines. */
const SETTINGS = [
  ...['ENGINE_CREDENTIALS', 'ENGINE_CREDENTIALS_FILE', 'COMFYUI_TOKEN', 'COMFYUI_TOKEN_FILE'],
  ...['COMFYUI_HEADERS', 'COMFYUI_HEADERS_FILE', 'COMFYUI_CA_FILE'],
];

/** Those that a gateway with this environment has for the engine. Throws a CommandFailure where its settings are invalid. */
async function credentialsFor(url: string): Promise<EngineCredentials> {
  if (!SETTINGS.some(name => process.env[name] !== undefined)) return NO_CREDENTIALS;
  // Loaded only when it is used, because it loads much.
  const { readConfig } = await import('../../config.ts');
  const result = readConfig(process.env);
  if (!result.ok) throw new CommandFailure(result.faults.join('\n'));
  return result.config.credentialsOf(url);
}

/** The node classes of an engine. Throws a CommandFailure when it does not respond, or its URL has unusable credentials. */
export async function objectInfoOf(url: string): Promise<ObjectInfo> {
  const fault = urlCredentialsFault(new URL(url));
  if (fault !== null) throw new CommandFailure(`--engine: ${fault}`, 2);
  const client = createEngineClient({
    url,
    credentials: await credentialsFor(url),
    timeoutMs: ENGINE_TIMEOUT_MS,
  });
  try {
    return parseObjectInfo(await client.objectInfo());
  } catch (error) {
    if (!(error instanceof EngineUnreachable || error instanceof z.ZodError)) throw error;
    throw new CommandFailure(`--engine: ${client.url} does not respond like ComfyUI: ${error.message}`);
  } finally {
    await client.close();
  }
}

/** Checks a workflow against the node classes and model files of an engine. */
export function engineFindings(workflow: Workflow, info: ObjectInfo): Findings {
  const files = filesOf(info);
  const problems = checkAgainstEngine(workflow, info);
  const reported = problems.flatMap(problem => (problem.kind === 'model-missing' ? problem.file : []));
  const lacksClass = problems.some(problem => problem.kind === 'node-missing');
  const chosen = problems.length > 0 ? [] : modelsOnEngine(workflow, info);
  const used = chosen.filter(({ wanted, file }) => wanted !== file);
  // The files of options that are not the default, and those of a missing loader, which lists none.
  const others = workflow.manifest.requires.models.filter(
    ({ file, alternatives }) =>
      ![file, ...alternatives.map(other => other.file)].some(name => files.has(name)) &&
      !reported.includes(file),
  );
  return {
    problems: problems.map(problem => explainProblem(problem, workflow, info)),
    notes: [
      ...used.map(({ wanted, file }) => `uses ${file} in place of ${wanted}`),
      ...others.map(
        ({ file, folder, from }) =>
          `the file ${file} was not found in models/${folder}${source(from)}${lacksClass ? '' : '; only some parameters need it'}`,
      ),
    ],
  };
}
