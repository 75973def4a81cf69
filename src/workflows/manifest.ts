import { z } from 'zod';

/** The stages of a run, in their usual order. */
export const STAGES = ['LOADING', 'ENCODING', 'SAMPLING', 'DECODING', 'SAVING'] as const;

export type Stage = (typeof STAGES)[number];

const nodeReference = z
  .string()
  .min(1)
  .describe('the id, title (_meta.title) or class of a node: the first that matches exactly one node');

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
      .describe('1, 2 or 3: the number by which the prompt refers to the image'),
    required: z.boolean().default(false),
    target: target.describe('the input that takes the file name of the uploaded image'),
    nodes: z
      .array(nodeReference)
      .describe("nodes to remove, besides the target's own, when the image is absent; links from them go too")
      .default([]),
  })
  .describe('one image that the workflow takes');

const mask = z
  .strictObject({
    target: target.describe('the input that takes the file name of the uploaded mask'),
  })
  .describe(
    'the mask of a workflow that changes only a part of image 1: a grey image of the size of image 1, white where it changes. Every edit with the workflow needs one',
  );

const scalar = z.union([z.string(), z.number(), z.boolean()]).describe('a string, a number, true or false');

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
        .describe('the defaults of steps, cfg and megapixels when this option is chosen')
        .optional(),
    }),
  ])
  .describe('a value, or {"value": …, "description": …, "defaults": {…}}');

const extraParameter = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][A-Za-z0-9]*$/)
    .describe('a name of letters and digits that begins with a lowercase letter'),
  type: z.enum(['integer', 'number', 'string', 'boolean']),
  default: scalar,
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  maximumLength: z.int().min(1).describe('the most characters of a string, 1000 by default').optional(),
  options: z.array(option).min(1).describe('the only allowed values').optional(),
  description: z.string().default(''),
  target: targets.describe('the input to set; optional when a template uses the parameter').optional(),
});

const template = z.strictObject({
  target,
  value: z.string().min(1).describe('a string with {name} in place of the value of an extra parameter'),
});

const stageRule = z.strictObject({
  stage: z.enum(STAGES),
  nodes: z.array(nodeReference).min(1),
  weight: z
    .number()
    .min(0)
    .describe('the cost of each node (for SAMPLING, of each step); a sampler step with guidance costs 1'),
  perImage: z.number().min(0).describe('added to the weight for each image of the request').default(0),
});

const side = z.int().min(1).max(16384);
const size = z.strictObject({
  // 16 for Qwen-Image: 8 for the VAE, and 2 latent cells make one patch.
  multipleOf: z.int().min(1).max(256).describe('both sides are multiples of this').default(16),
  minSide: side.describe('the shortest side in pixels; thinner images are cropped at their ends').default(64),
  maxSide: side.describe('the longest side in pixels').default(8192),
  areaTolerance: z
    .number()
    .min(0)
    .max(0.5)
    .describe('how far the area may differ from the requested one, as a fraction, for a better shape')
    .default(0.06),
  reference: z
    .strictObject({ pixels: z.int().min(1), multipleOf: z.int().min(1) })
    .describe("the rescale of the graph's encoder; sizes are chosen so that it changes as little as possible")
    .optional(),
});

const alternative = z
  .strictObject({
    file: z.string().min(1),
    from: z.string().describe('where it is published').optional(),
    loader: z
      .strictObject({
        class: z.string().min(1).describe('the class that takes the place of the node that loads the file'),
        input: z
          .string()
          .min(1)
          .describe('its input for the name of the file; unset: of the same name as that of the node')
          .optional(),
        inputs: z.record(z.string(), scalar).describe('its other values; links of the node stay').default({}),
        from: z.string().describe('the node pack or ComfyUI version that has it').optional(),
      })
      .describe('unset: the node of graph.json loads it too')
      .optional(),
  })
  .describe('a file that does as well');

const requires = z.strictObject({
  nodes: z
    .array(
      z.strictObject({
        class: z.string().min(1).describe('a node class of graph.json'),
        from: z.string().describe('the node pack or ComfyUI version that has it').optional(),
      }),
    )
    .default([]),
  models: z
    .array(
      z.strictObject({
        folder: z.string().min(1).describe("a folder below ComfyUI's models folder"),
        file: z.string().min(1),
        from: z.string().describe('where it is published').optional(),
        alternatives: z
          .array(alternative)
          .describe('used on engines that lack the file, the first that an engine has')
          .default([]),
      }),
    )
    .default([]),
});

/** The schema of `workflow.json`. */
export const manifestSchema = z
  .strictObject({
    $schema: z.string().optional(),
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/)
      .describe('the name of its folder: lowercase letters, digits, dots, dashes and underscores'),
    title: z.string().min(1),
    description: z.string().default(''),
    preference: z
      .number()
      .describe('the default workflow is the one with the lowest number that some engine can run')
      .default(1000),
    images: z.array(image).min(1).max(3),
    mask: mask.optional(),
    inputs: z
      .strictObject({
        prompt: targets,
        negativePrompt: targets.optional(),
        seed: targets,
        steps: targets.optional(),
        cfg: targets.optional(),
        width: targets.describe('takes the working width in pixels; needs height too').optional(),
        height: targets.optional(),
        megapixels: targets.describe('for graphs that scale by themselves, instead of both').optional(),
      })
      .describe('the input that takes each field of a request'),
    parameters: z
      .strictObject({
        steps: numberRange,
        cfg: numberRange,
        megapixels: numberRange
          .describe('{"default": …, "minimum": …, "maximum": …}; unset when the graph decides its own size')
          .optional(),
      })
      .describe('defaults and ranges of steps, cfg and megapixels'),
    extraParameters: z.array(extraParameter).default([]),
    templates: z
      .array(template)
      .describe('inputs composed of extra parameters, such as file names')
      .default([]),
    size: size.describe('the sizes that the model works well at').prefault({}),
    stages: z
      .array(stageRule)
      .describe('stage and weight of nodes; those of other nodes are guessed from their class')
      .default([]),
    requires: requires.describe('what an engine must have to run the workflow').prefault({}),
    output: z.strictObject({
      node: nodeReference,
      prefixInput: z
        .string()
        .min(1)
        .describe('the input that takes the file name')
        .default('filename_prefix'),
    }),
  })
  .describe('how the inputs of a ComfyUI graph map to the fields of a request');

/** The content of `workflow.json`, with its defaults filled in. */
export type Manifest = z.output<typeof manifestSchema>;

/** The content of `workflow.json` as written: fields with a default are optional. */
export type ManifestInput = z.input<typeof manifestSchema>;

export type Target = z.output<typeof target>;
export type ExtraParameter = z.output<typeof extraParameter>;
export type ParameterValue = string | number | boolean;

/** The JSON Schema (draft 2020-12) of `workflow.json` as written, for editors. */
export function workflowJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(manifestSchema, { io: 'input', target: 'draft-2020-12' });
  return { $schema, title: 'Workflow manifest', ...schema };
}

/** The targets of a field that takes none, one or several. */
export function listTargets(given: Target | readonly Target[] | undefined): readonly Target[] {
  if (given === undefined) return [];
  return 'node' in given ? [given] : given;
}

/** Whether edits can set the size; otherwise the graph decides it. */
export function takesSize({ inputs }: Pick<Manifest, 'inputs'>): boolean {
  return inputs.width !== undefined || inputs.megapixels !== undefined;
}

/** The allowed values of a parameter, or null when it does not list them. */
export function optionValues(parameter: Pick<ExtraParameter, 'options'>): readonly ParameterValue[] | null {
  return parameter.options?.map(entry => (typeof entry === 'object' ? entry.value : entry)) ?? null;
}
