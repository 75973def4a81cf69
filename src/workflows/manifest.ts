import { z } from 'zod';

/** The stages of a run, in the order in which a graph passes through them. */
export const STAGES = ['LOADING', 'ENCODING', 'SAMPLING', 'DECODING', 'SAVING'] as const;

export type Stage = (typeof STAGES)[number];

const nodeReference = z
  .string()
  .min(1)
  .describe(
    'a node of graph.json by its id, its title (_meta.title) or its class, whichever first names exactly one',
  );

const target = z
  .strictObject({
    node: nodeReference,
    input: z.string().min(1).describe('the name of an input of that node'),
  })
  .describe('an input of a node: {"node": …, "input": …}');

const targets = z
  .union([target, z.array(target).min(1)])
  .describe('an input of a node, or a list of them: {"node": …, "input": …}');

const numberRange = z
  .strictObject({ default: z.number(), minimum: z.number(), maximum: z.number() })
  .describe('{"default": …, "minimum": …, "maximum": …}');

const image = z
  .strictObject({
    slot: z
      .union([z.literal(1), z.literal(2), z.literal(3)])
      .describe('1, 2 or 3: the number the prompt knows it by'),
    required: z.boolean().default(false),
    target: target.describe('the input that takes the name of the uploaded picture'),
    nodes: z
      .array(nodeReference)
      .default([])
      .describe("nodes that go when the picture is absent, besides the target's own; links from them go too"),
  })
  .describe('one place for a picture');

const scalar = z.union([z.string(), z.number(), z.boolean()]).describe('a text, a number, true or false');

const option = z
  .union([
    scalar,
    z.strictObject({
      value: scalar,
      description: z.string().optional(),
      defaults: z
        .strictObject({
          steps: z.number().optional(),
          cfg: z.number().optional(),
          megapixels: z.number().optional(),
        })
        .optional()
        .describe('what steps, cfg and megapixels are by default when this is chosen'),
    }),
  ])
  .describe('a value, or {"value": …, "description": …, "defaults": {…}}');

const extraParameter = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][A-Za-z0-9]*$/)
    .describe('a name of letters and digits that begins with a small letter'),
  type: z.enum(['integer', 'number', 'string', 'boolean']),
  default: scalar,
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  maximumLength: z
    .int()
    .min(1)
    .optional()
    .describe('how many characters a text may have; 1000 when left out'),
  options: z.array(option).min(1).optional().describe('the only values that it takes'),
  description: z.string().default(''),
  target: targets.optional().describe('where the value goes; may be left out when a template uses it'),
});

const template = z.strictObject({
  target,
  value: z.string().min(1).describe('a text in which {name} stands for the value of an extra parameter'),
});

const stageRule = z.strictObject({
  stage: z.enum(STAGES),
  nodes: z.array(nodeReference).min(1),
  weight: z
    .number()
    .min(0)
    .describe(
      'what each of the nodes costs; one sampler step with guidance is 1. For SAMPLING: what one step costs',
    ),
  perImage: z.number().min(0).default(0).describe('what is added for each picture of the request'),
});

const size = z.strictObject({
  multipleOf: z.int().min(1).max(256).default(16),
  minSide: z.int().min(1).max(16384).default(64),
  maxSide: z.int().min(1).max(16384).default(8192),
  areaTolerance: z.number().min(0).max(0.5).default(0.06),
  reference: z
    .strictObject({ pixels: z.int().min(1), multipleOf: z.int().min(1) })
    .optional()
    .describe(
      "the rescale that the graph's encoder makes by itself; sizes are chosen so that it changes least",
    ),
});

const requires = z.strictObject({
  nodes: z
    .array(
      z.strictObject({
        class: z.string().min(1).describe('a node class of graph.json'),
        from: z.string().optional().describe('who ships it'),
      }),
    )
    .default([]),
  models: z
    .array(
      z.strictObject({
        folder: z.string().min(1).describe("a folder below ComfyUI's models folder"),
        file: z.string().min(1),
        from: z.string().optional().describe('who publishes it'),
      }),
    )
    .default([]),
});

/** The schema of `workflow.json`; the JSON Schema for editors is made from it. */
export const manifestSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/)
      .describe("the folder's own name: small letters, digits, dots and dashes"),
    title: z.string().min(1),
    description: z.string().default(''),
    preference: z
      .number()
      .default(1000)
      .describe('the workflow with the lowest number that an engine can run is its default'),
    images: z.array(image).min(1).max(3),
    inputs: z
      .strictObject({
        prompt: targets,
        negativePrompt: targets.optional(),
        seed: targets,
        steps: targets.optional(),
        cfg: targets.optional(),
        width: targets.optional().describe('takes the working width in pixels; goes with height'),
        height: targets.optional(),
        megapixels: targets
          .optional()
          .describe('for graphs that scale by themselves, instead of width and height'),
      })
      .describe('where each field of a request goes'),
    parameters: z
      .strictObject({ steps: numberRange, cfg: numberRange, megapixels: numberRange })
      .describe('defaults and ranges of steps, cfg and megapixels'),
    extraParameters: z.array(extraParameter).default([]),
    templates: z
      .array(template)
      .default([])
      .describe('inputs that are composed of extra parameters, such as file names'),
    size: size.prefault({}).describe('what the model wants of the working size'),
    stages: z.array(stageRule).default([]).describe('stage and weight of nodes; the rest is judged by class'),
    requires: requires.prefault({}).describe('what an engine must have'),
    output: z.strictObject({
      node: nodeReference,
      prefixInput: z.string().min(1).default('filename_prefix').describe('the input that names the file'),
    }),
  })
  .describe('which input of a ComfyUI graph is what');

/** What `workflow.json` says, with its defaults filled in. */
export type Manifest = z.output<typeof manifestSchema>;

/** A manifest as written, where what has a default may be left out. */
export type ManifestInput = z.input<typeof manifestSchema>;

export type Target = z.output<typeof target>;
export type ExtraParameter = z.output<typeof extraParameter>;
export type ParameterValue = string | number | boolean;

/** The JSON Schema (draft 2020-12) of `workflow.json`, for editors. */
export function workflowJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(manifestSchema, { io: 'input', target: 'draft-2020-12' });
  return { $schema, title: 'Workflow manifest', ...schema };
}

/** One target or several, as a list. */
export function listTargets(given: Target | readonly Target[] | undefined): readonly Target[] {
  if (given === undefined) return [];
  return 'node' in given ? [given] : given;
}

/** The values that a parameter takes, when they are listed. */
export function optionValues(parameter: ExtraParameter): readonly ParameterValue[] | null {
  return parameter.options?.map(entry => (typeof entry === 'object' ? entry.value : entry)) ?? null;
}
