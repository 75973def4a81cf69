import { z } from 'zod';

export type OptionValue = string | number | boolean;

/** One input of a node class. */
export interface NodeInput {
  /** `INT`, `FLOAT`, `STRING`, `BOOLEAN`, `COMBO`, or the type of a link such as `IMAGE`. */
  readonly type: string;
  readonly required: boolean;
  /** The values of a combo; null for other types, when the engine does not list them, and where the input takes uploads. */
  readonly options: readonly OptionValue[] | null;
  readonly minimum: number | null;
  readonly maximum: number | null;
  /** Whether the input takes only a link although its type has a widget. */
  readonly linkOnly: boolean;
}

/** One node class of an engine. */
export interface NodeClass {
  /** In the order of the class, the required ones first. */
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
 * Parses the response of GET /object_info (or /object_info/{class}). A combo may have its list in place of the type (V1
 * nodes), or be `"COMBO"` with `options` (V3 nodes). A class that is described in any other way counts as known, with
 * the inputs that could be parsed. Throws a ZodError when the response is not an object.
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
  for (const [name, spec] of Object.entries(input.required ?? {})) inputs.set(name, parseInput(spec, true));
  for (const [name, spec] of Object.entries(input.optional ?? {})) {
    if (!inputs.has(name)) inputs.set(name, parseInput(spec, false));
  }
  return { inputs, outputs: output.map(type => (typeof type === 'string' ? type : 'COMBO')) };
}

function parseInput(spec: unknown, required: boolean): NodeInput {
  const [type, given]: unknown[] = Array.isArray(spec) ? spec : [spec];
  const parsed = configSchema.safeParse(given ?? {});
  const config: z.output<typeof configSchema> = parsed.success
    ? parsed.data
    : { min: null, max: null, options: null };
  // Its options are the files that were uploaded so far, which may be many thousands, without those in subfolders.
  const takesUploads = Object.entries(config).some(
    ([key, value]) => key.endsWith('_upload') && value === true,
  );
  const listed = Array.isArray(type) ? type : type === 'COMBO' ? config.options : null;
  return {
    type: Array.isArray(type) ? 'COMBO' : typeof type === 'string' ? type : '*',
    required,
    options: takesUploads ? null : (listed?.filter(isOption) ?? null),
    minimum: config.min,
    maximum: config.max,
    linkOnly: config.forceInput === true,
  };
}

function isOption(value: unknown): value is OptionValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
