import { type NodeContext, runNode } from '../nodes/nodes.ts';
import { type Inputs, NodeFailure, type NodeResult } from '../nodes/values.ts';
import { isObject, type JsonObject, toJson } from '../wire/json.ts';
import type { SocketHub } from '../wire/socket.ts';
import { cacheKeys, type NodeCache } from './caching.ts';
import { createExecutionList, DanglingLink, type Graph, isLink, nodeOf } from './graph.ts';
import type { HistoryRecord, QueueItem } from './queue.ts';

/** What the execution of a prompt needs of the engine. */
export interface RunContext extends Pick<NodeContext, 'files' | 'work' | 'beforeSampling'> {
  readonly hub: SocketHub;
  readonly cache: NodeCache;
  /** Whether the version sends `progress_state` besides the sampler's `progress`. */
  readonly progressStates: boolean;
  /** Whether history lists all cached outputs of the graph (0.3.64), or only those that this prompt executed or reused. */
  readonly listsCachedOutputs: boolean;
  isOutput(classType: string): boolean;
  /** Throws Interrupted or Dropped when the prompt must stop; waits while the worker hangs. */
  checkpoint(): Promise<void>;
  /** Throws Dropped when the engine has crashed or stopped. */
  assertAlive(): void;
  /** Called before each node; throws the NodeFailure of a fault. */
  beforeNode(classType: string): void;
  /** Takes the time that a node of this class is set to take, a sampler's steps aside. Throws Interrupted or Dropped. */
  spend(classType: string): Promise<void>;
  /** Loads a diffusion model unless it is in memory. Throws Interrupted or Dropped. */
  loadModel(file: string): Promise<void>;
  /** Sets the node being executed, which the greeting of a new socket contains. */
  setNode(node: string | null): void;
}

export interface RunOutcome {
  readonly kind: 'completed' | 'interrupted' | 'failed';
  readonly record: HistoryRecord;
}

/** POST /interrupt stopped the prompt (`comfy/model_management.py`, InterruptProcessingException). */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** The engine crashed or stopped: the running prompt disappears without an event or a history entry. */
export class Dropped extends Error {
  override readonly name = 'Dropped';
}

/** The client id that a prompt's events go to, or null if it has none. */
export function clientOf(item: QueueItem): string | null {
  const id = item.extraData.client_id;
  return typeof id === 'string' ? id : null;
}

interface ExecutingNode {
  readonly id: string;
  readonly classType: string;
  readonly inputs: Inputs;
}

/**
 * Executes one prompt and sends its events in ComfyUI's order (`execution.py`, PromptExecutor). Throws Dropped when
 * the engine crashes or stops, and DanglingLink when the graph ends the worker.
 */
export async function runPrompt(item: QueueItem, context: RunContext): Promise<RunOutcome> {
  const { graph, promptId } = item;
  const { hub, cache, files } = context;
  const clientId = clientOf(item);
  const messages: [string, JsonObject][] = [];
  const progress = createProgressState(promptId);
  const executed: string[] = [];
  const outputs = new Map<string, JsonObject>();
  let current: ExecutingNode | null = null;

  const sendToClient = (type: string, data: JsonObject): void => {
    if (clientId !== null) hub.send(type, data, clientId);
  };
  /** Sends an event and keeps it for history. */
  const addMessage = (type: string, data: JsonObject, broadcast = false): void => {
    const stamped = { ...data, timestamp: Date.now() };
    messages.push([type, stamped]);
    if (clientId !== null || broadcast) hub.send(type, stamped, clientId);
  };
  const sendProgress = (): void => {
    if (context.progressStates) hub.send('progress_state', progress.event(), clientId);
  };

  addMessage('execution_start', { prompt_id: promptId });
  cache.open(await cacheKeys(graph, files));
  const isCached = (id: string): boolean => cache.get(id) !== undefined;
  addMessage('execution_cached', { nodes: Object.keys(graph).filter(isCached), prompt_id: promptId });

  const addOutput = (id: string, { ui }: NodeResult): void => {
    if (ui === undefined) return;
    outputs.set(id, { ...ui });
    sendToClient('executed', { node: id, display_node: id, output: ui, prompt_id: promptId });
  };

  const graphJson = toJson(graph);
  const nodeContext = (id: string): NodeContext => ({
    files,
    graphJson,
    work: steps => context.work(steps),
    beforeSampling: prompt => context.beforeSampling(prompt),
    step(value, max, jpeg) {
      context.assertAlive();
      const withMetadata = hub.wantsMetadata(clientId);
      progress.update(id, value, max);
      sendProgress();
      if (withMetadata) hub.preview(jpeg, promptId, id, clientId);
      hub.send('progress', { value, max, prompt_id: promptId, node: id }, clientId);
      if (!withMetadata) hub.preview(jpeg, promptId, id, clientId);
    },
  });

  async function execute(id: string): Promise<void> {
    const node = nodeOf(graph, id);
    if (node === undefined) return;
    const cached = cache.get(id);
    if (cached !== undefined) {
      // 0.8.0 adds a cached output to this prompt's only if a client receives it.
      if (clientId !== null) addOutput(id, cached);
      progress.finish(id);
      sendProgress();
      return;
    }
    const inputs = resolveInputs(node.inputs, source => cache.get(source));
    current = { id, classType: node.class_type, inputs };
    await context.checkpoint();
    context.setNode(id);
    progress.update(id, 0, 1);
    sendProgress();
    sendToClient('executing', { node: id, display_node: id, prompt_id: promptId });
    context.beforeNode(node.class_type);
    await context.spend(node.class_type);
    if (typeof inputs.unet_name === 'string') await context.loadModel(inputs.unet_name);
    const result = await runNode(node.class_type, inputs, nodeContext(id));
    context.assertAlive();
    cache.set(id, result);
    addOutput(id, result);
    progress.finish(id);
    sendProgress();
    executed.push(id);
  }

  let kind: RunOutcome['kind'] = 'completed';
  try {
    const isOutput = (id: string): boolean => context.isOutput(nodeOf(graph, id)?.class_type ?? '');
    const list = createExecutionList(graph, item.outputs, isCached, isOutput);
    for (let id = list.next(); id !== null; id = list.next()) {
      await execute(id);
      list.done(id);
    }
    addMessage('execution_success', { prompt_id: promptId });
  } catch (error) {
    if (error instanceof Dropped || error instanceof DanglingLink) throw error;
    const at = { prompt_id: promptId, ...describeNode(current), executed };
    if (error instanceof Interrupted) {
      kind = 'interrupted';
      addMessage('execution_interrupted', at, true);
    } else {
      kind = 'failed';
      addMessage('execution_error', { ...at, ...describeError(error, current, graph) });
    }
  } finally {
    context.setNode(null);
  }
  if (context.listsCachedOutputs) {
    for (const id of Object.keys(graph)) {
      const ui = cache.get(id)?.ui;
      if (ui !== undefined) outputs.set(id, { ...ui });
    }
  }
  const completed = kind === 'completed';
  const status = { status_str: completed ? 'success' : 'error', completed, messages };
  const meta = Object.fromEntries(
    [...outputs.keys()].map(id => [
      id,
      { node_id: id, display_node: id, parent_node: null, real_node_id: id },
    ]),
  );
  return { kind, record: { item, outputs: Object.fromEntries(outputs), status, meta } };
}

function resolveInputs(inputs: Inputs, find: (node: string) => NodeResult | undefined): Inputs {
  const entries = Object.entries(inputs).map(([name, value]) => {
    if (isLink(value)) return [name, find(value[0])?.values[value[1]]];
    return [name, isObject(value) && '__value__' in value ? value.__value__ : value];
  });
  return Object.fromEntries(entries);
}

function describeNode(current: ExecutingNode | null): JsonObject {
  return { node_id: current?.id ?? null, node_type: current?.classType ?? null };
}

function describeError(error: unknown, current: ExecutingNode | null, graph: Graph): JsonObject {
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

/** The nodes of the running prompt that have started, for `progress_state` (`comfy_execution/progress.py`). */
interface ProgressState {
  /** Sets the progress of a running node. */
  update(node: string, value: number, max: number): void;
  finish(node: string): void;
  /** The event's data, which contains every started node each time. */
  event(): JsonObject;
}

function createProgressState(promptId: string): ProgressState {
  const nodes = new Map<string, { value: number; max: number; state: 'running' | 'finished' }>();
  return {
    update: (node, value, max) => void nodes.set(node, { value, max, state: 'running' }),
    finish(node) {
      const max = nodes.get(node)?.max ?? 1;
      nodes.set(node, { value: max, max, state: 'finished' });
    },
    event() {
      const entries = [...nodes].map(([id, progress]) => [
        id,
        {
          ...progress,
          node_id: id,
          prompt_id: promptId,
          display_node_id: id,
          parent_node_id: null,
          real_node_id: id,
        },
      ]);
      return { prompt_id: promptId, nodes: Object.fromEntries(entries) };
    },
  };
}
