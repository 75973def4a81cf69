import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkWorkflow } from '../check/workflow.ts';
import { graphSchema } from '../graph.ts';
import { manifestSchema } from '../manifest.ts';
import type { BrokenWorkflow, LoadedWorkflows, Workflow } from '../workflow.ts';
import { parseContent } from './issues.ts';

/** The folder of the workflows that come with the project. */
export const SHIPPED_WORKFLOWS = fileURLToPath(new URL('../../../workflows', import.meta.url));

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
  const [graphFile, manifestFile] = await Promise.all([
    readJson(folder, GRAPH_FILE),
    readJson(folder, MANIFEST_FILE),
  ]);
  if ('problem' in graphFile || 'problem' in manifestFile) {
    return {
      name,
      problems: [graphFile, manifestFile].flatMap(file => ('problem' in file ? file.problem : [])),
    };
  }
  const graph = isEditorFormat(graphFile.value)
    ? { problems: [EDITOR_FORMAT] }
    : parseContent(GRAPH_FILE, graphSchema, graphFile.value);
  const manifest = parseContent(MANIFEST_FILE, manifestSchema, manifestFile.value);
  if ('problems' in graph || 'problems' in manifest) {
    return { name, problems: [graph, manifest].flatMap(file => ('problems' in file ? file.problems : [])) };
  }
  const hash = createHash('sha256').update(graphFile.text).update('\0').update(manifestFile.text);
  const version = hash.digest('hex').slice(0, 12);
  const workflow = { name, version, manifest: manifest.data, graph: graph.data };
  const problems = checkWorkflow(workflow);
  return problems.length === 0 ? workflow : { name, problems };
}

type JsonFile = { text: string; value: unknown } | { problem: string };

async function readJson(folder: string, file: string): Promise<JsonFile> {
  let text: string;
  try {
    text = await readFile(join(folder, file), 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const takes = file === GRAPH_FILE ? 'the file that ComfyUI writes by "Export (API)"' : 'a manifest';
      return { problem: `${file}: is missing; takes ${takes}` };
    }
    return { problem: `${file}: cannot be read: ${messageOf(error)}` };
  }
  try {
    return { text, value: JSON.parse(text) };
  } catch (error) {
    return { problem: `${file}: is not JSON: ${messageOf(error)}` };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const EDITOR_FORMAT = `${GRAPH_FILE}: the file: got the format of the ComfyUI editor; takes the API format, which ComfyUI writes by "Export (API)"`;

function isEditorFormat(graph: unknown): boolean {
  return typeof graph === 'object' && graph !== null && 'nodes' in graph && 'links' in graph;
}
