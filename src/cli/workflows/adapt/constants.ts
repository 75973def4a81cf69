import { type Graph, isLink, isModelFile, nodeOf } from '../../../workflows/graph.ts';
import type { Target } from '../../../workflows/manifest.ts';

/** What is looked for behind an input: the type of the constant, and the names that such inputs have, the best first. */
export interface Wanted {
  readonly type: 'number' | 'string';
  readonly names: readonly string[];
  /** Whether only these names will do. */
  readonly exact?: boolean;
}

/** Names that say nothing of what the constant is for. */
const GENERIC: ReadonlySet<string> = new Set(['value', 'int', 'number', 'float', 'string', 'String']);

export const SEED: Wanted = { type: 'number', names: ['seed', 'noise_seed', 'value', 'int', 'number'] };
export const STEPS: Wanted = { type: 'number', names: ['steps', 'value', 'int', 'number'] };
export const CFG: Wanted = { type: 'number', names: ['cfg', 'guidance', 'value', 'float', 'number'] };
export const WIDTH: Wanted = { type: 'number', names: ['width', 'value', 'int', 'number'] };
export const HEIGHT: Wanted = { type: 'number', names: ['height', 'value', 'int', 'number'] };
export const TEXT: Wanted = {
  type: 'string',
  names: ['prompt', 'positive', 'instruction', 'text', 'string', 'value', 'Text', 'String', 'caption'],
};

/** Nodes that compute: setting a number behind them would not set the number that comes out. */
const COMPUTES = /math|calc|expression|multipl|divid|random|GetImageSize|ImageSize/i;

/** Inputs of text nodes that hold something else than the text. */
const NOT_TEXT =
  /delimiter|separator|mode|method|action|device|type|format|clean_|linebreak|replace|find|regex|font|color|control_|path|file|language/i;

/** Inputs by which text nodes take a text. */
const TAKES_TEXT = /text|string|prompt|value|any|instruction|caption|^(input|str|[a-d])_?\d*$/i;

/** Classes whose business is text. */
const TEXT_NODE = /text|string|prompt|primitive|literal|concat|constant/i;

/** Classes whose constant is the name of a file, whatever their output goes to. */
const LOADS_FILE = /^LoadImage/;

/** More nodes in a row than any graph has between a value and what uses it. */
const MAX_HOPS = 40;

/**
 * The constant that sets an input: its own, or that of the node that it leads to by links, such as a primitive or a text
 * node, also through nodes that hand a value on or join texts. Null when the value is computed.
 */
export function constantBehind(graph: Graph, { node, input }: Target, wanted: Wanted): Target | null {
  const value = nodeOf(graph, node)?.inputs[input];
  if (!isLink(value)) return typeof value === wanted.type ? { node, input } : null;
  // A node with several outputs, such as one for all settings of a sampler, names the constant of each.
  const names = value[1] === 0 ? wanted.names : wanted.names.filter(name => !GENERIC.has(name));
  return constantOf(graph, value[0], { ...wanted, names, exact: value[1] !== 0 }, new Set());
}

function constantOf(graph: Graph, id: string, wanted: Wanted, visited: Set<string>): Target | null {
  const node = nodeOf(graph, id);
  if (node === undefined || visited.has(id) || visited.size >= MAX_HOPS) return null;
  visited.add(id);
  if (wanted.type === 'number' && COMPUTES.test(node.class_type)) return null;
  if (LOADS_FILE.test(node.class_type)) return null;
  const inputs = Object.entries(node.inputs);
  const links = inputs.flatMap(([name, value]) => (isLink(value) && leadsOn(name, wanted) ? [value[0]] : []));
  const own = ownConstant(graph, id, wanted);
  // A text node that takes its text by a link keeps what it showed last as a constant.
  if (own !== null && (wanted.type === 'number' || links.length === 0)) return own;
  for (const from of links) {
    const found = constantOf(graph, from, wanted, visited);
    if (found !== null) return found;
  }
  return own;
}

function ownConstant(graph: Graph, id: string, wanted: Wanted): Target | null {
  const { class_type, inputs = {} } = nodeOf(graph, id) ?? { class_type: '' };
  const own = Object.keys(inputs).filter(name => suits(name, inputs[name], wanted));
  const named = wanted.names.filter(name => own.includes(name));
  const filled = (names: readonly string[]) => names.find(name => inputs[name] !== '') ?? names[0];
  const several = wanted.type === 'string' && TEXT_NODE.test(class_type);
  const any = wanted.exact !== true && (own.length === 1 || several) ? filled(own) : undefined;
  const input = filled(named) ?? any;
  return input === undefined ? null : { node: id, input };
}

function leadsOn(name: string, { type }: Wanted): boolean {
  return type === 'number' || TAKES_TEXT.test(name);
}

function suits(name: string, value: unknown, { type }: Wanted): boolean {
  if (typeof value !== type) return false;
  return type === 'number' || !(NOT_TEXT.test(name) || isModelFile(value));
}
