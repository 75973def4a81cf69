import { z } from 'zod';

export type OptionValue = string | number | boolean;

/** One input of a node class. */
export interface NodeInput {
  /** `INT`, `FLOAT`, `STRING`, `BOOLEAN`, `COMBO`, or the type of a link such as `IMAGE`. */
  readonly type: string;
  readonly required: boolean;
  /** What a combo takes; null for other types, and when the engine does not list it. */
  readonly options: readonly OptionValue[] | null;
  readonly minimum: number | null;
  readonly maximum: number | null;
  /** The list shows only some of the files that are taken: an upload into a subfolder is not among them. */
  readonly upload: boolean;
}

/** One node class of an engine. */
export interface NodeClass {
  readonly inputs: ReadonlyMap<string, NodeInput>;
  /** The type of each output. */
  readonly outputs: readonly string[];
}

/** The node classes of an engine, by name. */
export type ObjectInfo = ReadonlyMap<string, NodeClass>;

const inputSpecs = z.record(z.string(), z.unknown()).catch({});
const classSchema = z.object({
  input: z.object({ required: inputSpecs, optional: inputSpecs }).partial().catch({}),
  output: z.array(z.unknown()).catch([]),
});

const optionList = z.array(z.unknown());
const configSchema = z.looseObject({
  min: z.number().nullable().catch(null),
  max: z.number().nullable().catch(null),
  options: optionList.nullable().catch(null),
});

/**
 * Reads GET /object_info (or /object_info/{class}). Both dialects of a combo are understood: the list in the type's place
 * (V1 nodes), and `"COMBO"` with `options` (V3 nodes). A node that describes itself in some other way still counts as
 * known, with the inputs that could be read. Throws a ZodError when the answer is no object at all.
 */
export function parseObjectInfo(json: unknown): ObjectInfo {
  const classes = z.record(z.string(), z.unknown()).parse(json);
  return new Map(Object.entries(classes).map(([name, value]) => [name, parseClass(value)]));
}

function parseClass(value: unknown): NodeClass {
  const parsed = classSchema.safeParse(value);
  if (!parsed.success) return { inputs: new Map(), outputs: [] };
  const { input, output } = parsed.data;
  const inputs = new Map<string, NodeInput>();
  for (const [name, spec] of Object.entries(input.optional ?? {})) inputs.set(name, parseInput(spec, false));
  for (const [name, spec] of Object.entries(input.required ?? {})) inputs.set(name, parseInput(spec, true));
  return { inputs, outputs: output.map(type => (typeof type === 'string' ? type : 'COMBO')) };
}

function parseInput(spec: unknown, required: boolean): NodeInput {
  const [type, given]: unknown[] = Array.isArray(spec) ? spec : [spec];
  const parsed = configSchema.safeParse(given ?? {});
  const config = parsed.success ? parsed.data : { min: null, max: null, options: null };
  const listed = Array.isArray(type) ? type : type === 'COMBO' ? config.options : null;
  return {
    type: Array.isArray(type) ? 'COMBO' : typeof type === 'string' ? type : '*',
    required,
    options: listed?.filter(isOption) ?? null,
    minimum: config.min,
    maximum: config.max,
    upload: Object.entries(config).some(([key, value]) => key.endsWith('_upload') && value === true),
  };
}

function isOption(value: unknown): value is OptionValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
