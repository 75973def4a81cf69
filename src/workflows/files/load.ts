import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { checkWorkflow } from '../check/workflow.ts';
import { graphSchema } from '../graph.ts';
import { manifestSchema, workflowJsonSchema } from '../manifest.ts';
import type { BrokenWorkflow, LoadedWorkflows, Workflow } from '../workflow.ts';
import { describeIssues } from './issues.ts';

const GRAPH_FILE = 'graph.json';
const MANIFEST_FILE = 'workflow.json';

/**
 * Reads every folder of `dir` as a workflow. A broken one never hides the others. Folders whose names begin with a dot
 * are passed over. Throws when `dir` itself cannot be read.
 */
export async function loadWorkflows(dir: string): Promise<LoadedWorkflows> {
  const entries = await readdir(dir, { withFileTypes: true });
  const names = entries
    .filter(entry => !entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name);
  const loaded = await Promise.all(names.sort().map(name => loadWorkflow(join(dir, name), name)));
  const workflows = loaded.flatMap(result => ('manifest' in result ? [result] : []));
  const broken = loaded.flatMap(result => ('problems' in result ? [result] : []));
  workflows.sort(
    (left, right) => left.manifest.preference - right.manifest.preference || compare(left.name, right.name),
  );
  return { workflows, broken };
}

/** Reads one folder as the workflow `name`. */
export async function loadWorkflow(folder: string, name: string): Promise<Workflow | BrokenWorkflow> {
  const [graphFile, manifestFile] = await Promise.all([
    readJson(folder, GRAPH_FILE),
    readJson(folder, MANIFEST_FILE),
  ]);
  const problems = [graphFile, manifestFile].flatMap(file => ('problem' in file ? [file.problem] : []));
  if ('problem' in graphFile || 'problem' in manifestFile) return { name, problems };

  const graph = graphSchema.safeParse(graphFile.value);
  const manifest = manifestSchema.safeParse(manifestFile.value);
  if (!graph.success) problems.push(...describeGraphIssues(graph.error, graphFile.value));
  if (!manifest.success) {
    problems.push(...describeIssues(MANIFEST_FILE, manifest.error, manifestFile.value, workflowJsonSchema()));
  }
  if (!graph.success || !manifest.success) return { name, problems };

  const hash = createHash('sha256').update(graphFile.text).update('\0').update(manifestFile.text);
  const workflow = {
    name,
    version: hash.digest('hex').slice(0, 12),
    manifest: manifest.data,
    graph: graph.data,
  };
  const faults = checkWorkflow(workflow);
  return faults.length === 0 ? workflow : { name, problems: faults };
}

type JsonFile = { text: string; value: unknown } | { problem: string };

async function readJson(folder: string, file: string): Promise<JsonFile> {
  let text: string;
  try {
    text = await readFile(join(folder, file), 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const takes = file === GRAPH_FILE ? 'what ComfyUI writes by "Export (API)"' : 'a manifest';
      return { problem: `${file}: is missing; takes ${takes}` };
    }
    return { problem: `${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}` };
  }
  try {
    const value: unknown = JSON.parse(text);
    return { text, value };
  } catch (error) {
    return { problem: `${file}: is no JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function describeGraphIssues(error: z.ZodError, value: unknown): string[] {
  const isEditorFormat = typeof value === 'object' && value !== null && 'nodes' in value && 'links' in value;
  if (isEditorFormat) {
    return [
      `${GRAPH_FILE}: the file: got the editor's own format; takes the API format: ComfyUI's "Export (API)"`,
    ];
  }
  return describeIssues(GRAPH_FILE, error, value, { ...z.toJSONSchema(graphSchema) });
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The folder of the workflows that come with the project. */
export const SHIPPED_WORKFLOWS = fileURLToPath(new URL('../../../workflows', import.meta.url));
