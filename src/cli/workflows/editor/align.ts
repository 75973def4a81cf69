import type { EditorNode } from './format.ts';

/** A widget of a node class: its name and what else is known of it. */
export interface Widget {
  readonly name: string;
  /** `INT`, `FLOAT`, `STRING`, `BOOLEAN` or `COMBO`. */
  readonly type?: string;
  /** The only values of a combo. */
  readonly options?: readonly unknown[] | null;
}

/** What the editor's widget "control after generate" holds: it follows a seed and is no input of the node. */
const CONTROLS: ReadonlySet<unknown> = new Set([
  'fixed',
  'increment',
  'decrement',
  'randomize',
  'increment-wrap',
]);

/** What buttons such as that of an upload hold, after the values of the inputs. */
const isButton = (value: unknown) =>
  value === null || value === '' || value === 'image' || typeof value === 'object';

/** Assigns a list of widget values to the widgets in order, and tells whether each value found its widget. */
export function alignValues(
  widgets: readonly Widget[],
  values: readonly unknown[],
): { values: Map<string, unknown>; complete: boolean } {
  const found = new Map<string, unknown>();
  let next = 0;
  for (const widget of widgets) {
    while (CONTROLS.has(values[next]) && !takesControl(widget, values[next])) next++;
    if (next >= values.length) return { values: found, complete: false };
    found.set(widget.name, values[next]);
    next++;
  }
  const rest = values.slice(next);
  return { values: found, complete: rest.every(value => CONTROLS.has(value) || isButton(value)) };
}

/** Whether such a word can be the value of the widget itself. */
function takesControl({ name, type, options }: Widget, value: unknown): boolean {
  if (name === 'control_after_generate') return true;
  if (Array.isArray(options)) return options.includes(value);
  return type === 'STRING';
}

/** The values of a node's widgets by name, or why they are not known. */
export type Widgets = { ok: true; values: ReadonlyMap<string, unknown> } | { ok: false; reason: string };

/**
 * The values of a node's widgets by name. The editor stores them as a list in the order of the class's widgets; newer
 * versions also store an input for each widget, which tells the order when the class is unknown, or known in another
 * version.
 */
export function valuesOf(node: EditorNode, known: readonly Widget[] | null): Widgets {
  const { values, inputs } = node;
  if (!isList(values)) return { ok: true, values: new Map(Object.entries(values)) };
  if (values.length === 0) return { ok: true, values: new Map() };
  if (node.type === 'Power Lora Loader (rgthree)') return { ok: true, values: powerLoras(values) };
  const listed = inputs.flatMap(({ widget, type }) => (widget === null ? [] : [{ name: widget, type }]));
  const ordered = alignValues(listed, values);
  if (known !== null) {
    const names = new Set(known.map(({ name }) => name));
    const sameVersion = listed.every(({ name }) => names.has(name));
    const usesListed = ordered.complete && !(sameVersion && listed.length === names.size);
    return {
      ok: true,
      values: usesListed && listed.length > 0 ? ordered.values : alignValues(known, values).values,
    };
  }
  if (ordered.complete || listsAll(node, ordered.values)) return { ok: true, values: ordered.values };
  return {
    ok: false,
    reason: `has ${values.length} values without names, and its class is not known here: give --engine <url> of a ComfyUI that has it, or export the graph with "Export (API)"`,
  };
}

/**
 * Whether the inputs list all widgets, as newer versions of the editor do: these also list those to which nothing is
 * linked, and further values are of widgets that only show something. The types of the values must agree.
 */
function listsAll({ inputs }: EditorNode, values: ReadonlyMap<string, unknown>): boolean {
  const widgets = inputs.filter(({ widget }) => widget !== null);
  const agrees = ({ widget, type }: EditorNode['inputs'][number]) => {
    const value = values.get(widget ?? '');
    if (type === 'STRING') return typeof value === 'string';
    return type === 'INT' || type === 'FLOAT' ? typeof value === 'number' : value !== undefined;
  };
  return widgets.some(({ link }) => link === null) && widgets.every(agrees);
}

/** The LoRA rows of rgthree's Power Lora Loader, whose inputs are numbered (`lora_1` and so on). */
function powerLoras(values: readonly unknown[]): Map<string, unknown> {
  const rows = values.filter(value => typeof value === 'object' && value !== null && 'lora' in value);
  return new Map(rows.map((row, index) => [`lora_${index + 1}`, row]));
}

function isList(values: EditorNode['values']): values is readonly unknown[] {
  return Array.isArray(values);
}
