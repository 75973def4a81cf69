import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { checkWorkflow } from '../check/workflow.ts';
import { graphSchema } from '../graph.ts';
import { manifestSchema } from '../manifest.ts';
import type { BrokenWorkflow, LoadedWorkflows, Workflow } from '../workflow.ts';
import { parseContent } from './issues.ts';

const GRAPH_FILE = 'graph.json';
const MANIFEST_FILE = 'workflow.json';

/**
 * Reads every folder of `dir` as a workflow, except those whose names begin with a dot. A broken one does not affect the
 * others. Throws when `dir` itself cannot be read.
 */
export async function loadWorkflows(dir: string): Promise<LoadedWorkflows> {
  const entries = await readdir(dir, { withFileTypes: true });
  const names = entries
    .filter(entry => !entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name);
  const loaded = await Promise.all(names.sort().map(name => loadWorkflow(join(dir, name), name)));
  const workflows = loaded.filter(result => 'manifest' in result);
  // The sort is stable: equal preferences stay in the order of names.
  workflows.sort((left, right) => left.manifest.preference - right.manifest.preference);
  return { workflows, broken: loaded.filter(result => 'problems' in result) };
}

/** Reads one folder as the workflow `name`. */
export async function loadWorkflow(folder: string, name: string): Promise<Workflow | BrokenWorkflow> {
  const [graph, manifest] = await Promise.all([
    readContent(folder, GRAPH_FILE, graphSchema),
    readContent(folder, MANIFEST_FILE, manifestSchema),
  ]);
  if ('problems' in graph || 'problems' in manifest) {
    return { name, problems: [graph, manifest].flatMap(file => ('problems' in file ? file.problems : [])) };
  }
  const hash = createHash('sha256').update(graph.text).update('\0').update(manifest.text);
  const version = hash.digest('hex').slice(0, 12);
  const workflow = { name, version, manifest: manifest.data, graph: graph.data };
  const problems = checkWorkflow(workflow);
  return problems.length === 0 ? workflow : { name, problems };
}

async function readContent<T>(
  folder: string,
  file: string,
  schema: z.ZodType<T>,
): Promise<{ text: string; data: T } | { problems: string[] }> {
  const broken = (problem: string) => ({ problems: [`${file}: ${problem}`] });
  try {
    const text = await readFile(join(folder, file), 'utf8');
    const content: unknown = JSON.parse(text);
    if (file === GRAPH_FILE && isEditorFormat(content)) {
      return broken(
        `the file: got the format of the ComfyUI editor; takes the API format, ${EXPORT}; "qwen-edit workflows new" converts it`,
      );
    }
    return { text, ...parseContent(file, schema, content) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof SyntaxError) return broken(`is not JSON: ${error.message}`);
    const isMissing = 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
    if (!isMissing) return broken(`cannot be read: ${error.message}`);
    return broken(`is missing; takes ${file === GRAPH_FILE ? `a graph, ${EXPORT}` : 'a manifest'}`);
  }
}

const EXPORT = 'which ComfyUI writes by "Export (API)"';

function isEditorFormat(graph: unknown): boolean {
  return typeof graph === 'object' && graph !== null && 'nodes' in graph && 'links' in graph;
}
