import { readFileSync } from 'node:fs';
import type { EngineFiles } from '../files.ts';
import { isObject, type JsonObject, parseJson } from '../wire/json.ts';

export type EngineVersion = '0.3.64' | '0.8.0' | 'legacy';

/** An input as `object_info` tells it: a type or the options of a V1 combo, and its constraints. */
export type InputConfig = readonly [type: string | readonly unknown[], constraints?: JsonObject];

/** A node class, with what the sandbox reads of it. */
export interface NodeClass extends JsonObject {
  readonly input: {
    readonly required?: Record<string, InputConfig>;
    readonly optional?: Record<string, InputConfig>;
  };
  readonly output: readonly string[];
  readonly output_node: boolean;
}

export type NodeClasses = Readonly<Record<string, NodeClass>>;

export interface NodeClassesOptions {
  readonly version: EngineVersion;
  readonly missingModels: readonly string[];
  readonly missingNodes: readonly string[];
}

/** The folders of models, with the input that lists each. */
const MODEL_FOLDERS = {
  diffusion_models: ['UNETLoader', 'unet_name'],
  text_encoders: ['CLIPLoader', 'clip_name'],
  vae: ['VAELoader', 'vae_name'],
  loras: ['LoraLoaderModelOnly', 'lora_name'],
} as const satisfies Record<string, readonly [string, string]>;

/**
 * The node classes of an engine of this version. The entries of KSampler, TextEncodeQwenImageEditPlus, LoadImage,
 * SaveImage, UNETLoader, CLIPLoader, VAELoader and ImageScaleToTotalPixels are a real 0.3.64's; the others follow
 * its sources.
 */
export function readNodeClasses(options: NodeClassesOptions): NodeClasses {
  const parsed = parseJson(readFileSync(new URL('object-info.json', import.meta.url), 'utf8'));
  const classes: Record<string, NodeClass> = {};
  for (const [name, info] of Object.entries(isObject(parsed) ? parsed : {})) {
    if (options.missingNodes.includes(name) || !isNodeClass(info)) continue;
    classes[name] = withoutModels(info, new Set(options.missingModels));
  }
  return options.version === '0.8.0' ? asOf080(classes) : classes;
}

function isNodeClass(info: unknown): info is NodeClass {
  return isObject(info) && isObject(info.input) && Array.isArray(info.output);
}

function withoutModels(info: NodeClass, missing: ReadonlySet<string>): NodeClass {
  if (missing.size === 0) return info;
  return mapInputs(info, ([type, ...rest]) => {
    if (!Array.isArray(type)) return [type, ...rest];
    return [type.filter(option => typeof option !== 'string' || !missing.has(option)), ...rest];
  });
}

function mapInputs(info: NodeClass, change: (config: InputConfig, name: string) => InputConfig): NodeClass {
  const mapped = (inputs: Record<string, InputConfig>): Record<string, InputConfig> =>
    Object.fromEntries(Object.entries(inputs).map(([name, config]) => [name, change(config, name)]));
  const { required, optional } = info.input;
  return {
    ...info,
    input: {
      ...info.input,
      ...(required ? { required: mapped(required) } : {}),
      ...(optional ? { optional: mapped(optional) } : {}),
    },
  };
}

/** What 0.8.0 added to these classes. */
function asOf080(classes: Record<string, NodeClass>): NodeClasses {
  const added: Record<string, Record<string, readonly string[]>> = {
    CLIPLoader: { type: ['flux2', 'ovis'] },
    FluxKontextMultiReferenceLatentMethod: { reference_latents_method: ['index_timestep_zero'] },
    KSampler: { sampler_name: ['exp_heun_2_x0', 'exp_heun_2_x0_sde'] },
  };
  const grown: Record<string, NodeClass> = {};
  for (const [name, info] of Object.entries(classes)) {
    grown[name] = mapInputs(info, (config, input) => withOptions(config, added[name]?.[input] ?? []));
  }
  const scale = grown.ImageScaleToTotalPixels;
  if (scale !== undefined) {
    const steps: InputConfig = ['INT', { default: 1, min: 1, max: 256 }];
    const required = { ...scale.input.required, resolution_steps: steps };
    grown.ImageScaleToTotalPixels = {
      ...scale,
      input: { ...scale.input, required },
      input_order: { required: Object.keys(required) },
    };
  }
  return grown;
}

/** A combo that takes more, in either dialect: a list in the type's place, or `"COMBO"` with `options`. */
function withOptions([type, constraints]: InputConfig, more: readonly string[]): InputConfig {
  const rest: [] | [JsonObject] = constraints === undefined ? [] : [constraints];
  if (Array.isArray(type)) return [[...type, ...more], ...rest];
  const options = constraints?.options;
  return Array.isArray(options)
    ? [type, { ...constraints, options: [...options, ...more] }]
    : [type, ...rest];
}

/** The answer of GET /object_info: LoadImage lists what lies in the input folder now. */
export function describeClasses(classes: NodeClasses, files: EngineFiles): NodeClasses {
  const load = classes.LoadImage;
  if (load === undefined) return classes;
  const listed = mapInputs(load, ([type, ...rest], name) => [
    name === 'image' ? files.list('input') : type,
    ...rest,
  ]);
  return { ...classes, LoadImage: listed };
}

/** The folders of models. */
export function modelFolders(): string[] {
  return Object.keys(MODEL_FOLDERS);
}

/** The files of a folder of models; null when there is no such folder. */
export function modelsIn(classes: NodeClasses, folder: string): string[] | null {
  for (const [name, [classType, input]] of Object.entries(MODEL_FOLDERS)) {
    if (name !== folder) continue;
    const options = classes[classType]?.input.required?.[input]?.[0];
    const names = Array.isArray(options) ? options : [];
    return names.filter(option => typeof option === 'string' && option.endsWith('.safetensors'));
  }
  return null;
}
