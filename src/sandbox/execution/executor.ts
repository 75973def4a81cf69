import type { EngineFiles } from '../files.ts';
import { Dropped, Interrupted, NodeFailure } from '../nodes/failures.ts';
import { type NodeContext, type NodeResult, runNode } from '../nodes/nodes.ts';
import type { Inputs } from '../nodes/values.ts';
import { isObject, type JsonObject, toJson } from '../wire/json.ts';
import type { SocketHub } from '../wire/socket.ts';
import { cacheKeys, type NodeCache } from './caching.ts';
import { type Graph, isLink, nodeOf } from './graph.ts';
import { createOrder, DanglingLink } from './order.ts';
import { createProgressState } from './progress-state.ts';
import type { HistoryRecord, QueueItem } from './queue.ts';

/** What a run needs of the engine around it. */
export interface RunContext {
  readonly hub: SocketHub;
  readonly cache: NodeCache;
  readonly files: EngineFiles;
  /** Whether progress is told as a whole (`progress_state`) besides the sampler's own steps. */
  readonly progressStates: boolean;
  readonly hurried: boolean;
  /** Whether history lists every output that is cached, as 0.3.64 does, or only those this prompt came by. */
  readonly listsCachedOutputs: boolean;
  isOutput(classType: string): boolean;
  /** Throws Interrupted or Dropped when the prompt must stop; waits while the worker hangs. */
  checkpoint(): Promise<void>;
  /** Throws Dropped when the engine has gone away. */
  assertAlive(): void;
  /** Lets so many steps of time pass, then does as `checkpoint`. */
  work(steps: number): Promise<void>;
  /** Called before each node; throws what a fault asks for. */
  beforeNode(classType: string): void;
  beforeSampling(prompt: string): void;
  /** The node at work, for sockets that connect meanwhile. */
  setNode(node: string | null): void;
}

export interface RunOutcome {
  readonly kind: 'completed' | 'interrupted' | 'failed';
  readonly record: HistoryRecord;
}

/** The socket that hears of a prompt, or null for none named. */
export function ownerOf(item: QueueItem): string | null {
  const id = item.extraData.client_id;
  return typeof id === 'string' ? id : null;
}

/**
 * Runs one prompt and tells of it in ComfyUI's order (`execution.py`, PromptExecutor). Throws Dropped when the engine
 * goes away, and DanglingLink when the graph kills the worker.
 */
export async function runPrompt(item: QueueItem, context: RunContext): Promise<RunOutcome> {
  const { graph, promptId } = item;
  const { hub, cache, files } = context;
  const owner = ownerOf(item);
  const messages: [string, JsonObject][] = [];
  const progress = createProgressState(promptId);
  const executed: string[] = [];
  const shown = new Map<string, JsonObject>();
  let current: { id: string; classType: string; inputs: Inputs } | null = null;

  const toOwner = (type: string, data: JsonObject): void => {
    if (owner !== null) hub.send(type, data, owner);
  };
  const record = (type: string, data: JsonObject, toAll = false): void => {
    const stamped = { ...data, timestamp: Date.now() };
    messages.push([type, stamped]);
    if (owner !== null || toAll) hub.send(type, stamped, owner);
  };
  const tellProgress = (): void => {
    if (context.progressStates) hub.send('progress_state', progress.event(), owner);
  };

  record('execution_start', { prompt_id: promptId });
  cache.open(await cacheKeys(graph, files));
  const isCached = (id: string): boolean => cache.get(id) !== undefined;
  record('execution_cached', { nodes: Object.keys(graph).filter(isCached), prompt_id: promptId });

  const show = (id: string, result: NodeResult): void => {
    if (result.ui === undefined) return;
    shown.set(id, { ...result.ui });
    toOwner('executed', { node: id, display_node: id, output: result.ui, prompt_id: promptId });
  };

  const nodeContext = (id: string): NodeContext => ({
    files,
    graphJson: toJson(graph),
    hurried: context.hurried,
    work: steps => context.work(steps),
    beforeSampling: prompt => context.beforeSampling(prompt),
    step(value, max, jpeg) {
      context.assertAlive();
      const named = hub.wantsMetadata(owner);
      progress.update(id, value, max);
      tellProgress();
      if (named) hub.preview(jpeg, promptId, id, owner);
      hub.send('progress', { value, max, prompt_id: promptId, node: id }, owner);
      if (!named) hub.preview(jpeg, promptId, id, owner);
    },
  });

  async function execute(id: string): Promise<void> {
    const node = nodeOf(graph, id);
    if (node === undefined) return;
    const cached = cache.get(id);
    if (cached !== undefined) {
      // 0.8.0 counts a cached output as this prompt's only if somebody listens.
      if (owner !== null) show(id, cached);
      progress.finish(id);
      tellProgress();
      return;
    }
    const inputs = resolveInputs(node.inputs, source => cache.get(source));
    current = { id, classType: node.class_type, inputs };
    await context.checkpoint();
    context.setNode(id);
    progress.start(id);
    tellProgress();
    toOwner('executing', { node: id, display_node: id, prompt_id: promptId });
    context.beforeNode(node.class_type);
    const result = await runNode(node.class_type, inputs, nodeContext(id));
    context.assertAlive();
    cache.set(id, result);
    show(id, result);
    progress.finish(id);
    tellProgress();
    executed.push(id);
  }

  let kind: RunOutcome['kind'] = 'completed';
  try {
    const isOutput = (id: string): boolean => context.isOutput(nodeOf(graph, id)?.class_type ?? '');
    const order = createOrder(graph, item.outputs, isCached, isOutput);
    for (let id = order.next(); id !== null; id = order.next()) {
      await execute(id);
      order.done(id);
    }
    record('execution_success', { prompt_id: promptId });
  } catch (error) {
    const at = { prompt_id: promptId, ...describeNode(current), executed };
    if (error instanceof Interrupted) {
      kind = 'interrupted';
      record('execution_interrupted', at, true);
    } else if (error instanceof Dropped || error instanceof DanglingLink) {
      throw error;
    } else {
      kind = 'failed';
      record('execution_error', { ...at, ...describeFailure(error, current, graph) });
    }
  } finally {
    context.setNode(null);
  }
  if (context.listsCachedOutputs) {
    for (const id of Object.keys(graph)) {
      const ui = cache.get(id)?.ui;
      if (ui !== undefined) shown.set(id, { ...ui });
    }
  }
  const status = {
    status_str: kind === 'completed' ? 'success' : 'error',
    completed: kind === 'completed',
    messages,
  };
  return { kind, record: { item, outputs: Object.fromEntries(shown), status, meta: metaOf(shown.keys()) } };
}

function resolveInputs(inputs: Inputs, find: (node: string) => NodeResult | undefined): Inputs {
  const entries = Object.entries(inputs).map(([name, value]) => {
    if (isLink(value)) return [name, find(value[0])?.values[value[1]]];
    return [name, isObject(value) && '__value__' in value ? value.__value__ : value];
  });
  return Object.fromEntries(entries);
}

function metaOf(nodes: Iterable<string>): JsonObject {
  const entries = [...nodes].map(id => [
    id,
    { node_id: id, display_node: id, parent_node: null, real_node_id: id },
  ]);
  return Object.fromEntries(entries);
}

function describeNode(current: { id: string; classType: string } | null): JsonObject {
  return { node_id: current?.id ?? null, node_type: current?.classType ?? null };
}

function describeFailure(error: unknown, current: { inputs: Inputs } | null, graph: Graph): JsonObject {
  const inputs = Object.entries(current?.inputs ?? {}).map(([name, value]) => [name, [describeInput(value)]]);
  return {
    // Python's message always ends in a line break.
    exception_message: `${error instanceof Error ? error.message : String(error)}\n`,
    exception_type: error instanceof NodeFailure ? error.exceptionType : 'RuntimeError',
    traceback: ['  File "/sandbox/execution.py", line 1, in execute\n'],
    current_inputs: Object.fromEntries(inputs),
    current_outputs: Object.keys(graph),
  };
}

function describeInput(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return value ?? null;
  return value.kind === 'image' ? 'tensor([[[[0., 0., 0.]]]])' : `<${String(value.kind)}>`;
}
