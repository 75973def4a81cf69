import { readFileSync } from 'node:fs';
import type { EngineFiles } from '../files.ts';
import { isObject, type JsonObject, parseJson } from '../wire/json.ts';

export type EngineVersion = '0.3.64' | '0.8.0' | 'legacy';

/** An input as `object_info` describes it: its type, or the options of a V1 combo, and its constraints. */
export type InputConfig = readonly [type: string | readonly unknown[], constraints?: JsonObject];

/** A node class as `object_info` describes it, with the fields that the sandbox reads. */
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
  /** Files besides those of the workflows, by model folder; with some in the format GGUF there is a loader for them. */
  readonly moreModels?: Readonly<Record<string, readonly string[]>>;
  /** How many node classes there are besides, as node packs bring them; each is described like KSampler. Default 0. */
  readonly moreNodes?: number;
}

/** The model folders, each with the input that lists its files. */
const MODEL_FOLDERS: Readonly<Record<string, readonly [classType: string, input: string]>> = {
  diffusion_models: ['UNETLoader', 'unet_name'],
  text_encoders: ['CLIPLoader', 'clip_name'],
  vae: ['VAELoader', 'vae_name'],
  loras: ['LoraLoaderModelOnly', 'lora_name'],
};

/**
 * The node classes of a version. The entries of KSampler, TextEncodeQwenImageEditPlus, LoadImage, SaveImage,
 * UNETLoader, CLIPLoader, VAELoader, ImageScaleToTotalPixels and those of masks were recorded from a 0.3.64; the others follow its
 * source code.
 */
export function readNodeClasses(options: NodeClassesOptions): NodeClasses {
  const parsed = parseJson(readFileSync(new URL('object-info.json', import.meta.url), 'utf8'));
  const more = new Map(
    Object.entries(options.moreModels ?? {}).map(([folder, files]) => [MODEL_FOLDERS[folder]?.join(), files]),
  );
  const missingModels = new Set<unknown>(options.missingModels);
  const classes: Record<string, NodeClass> = {};
  for (const [name, info] of Object.entries(isObject(parsed) ? parsed : {})) {
    if (options.missingNodes.includes(name) || !isNodeClass(info)) continue;
    classes[name] = mapInputs(info, ([type, ...rest], input) => [
      typeof type === 'string'
        ? type
        : [
            ...type.filter(option => !missingModels.has(option)),
            ...(more.get(`${name},${input}`) ?? []).filter(file => !isGguf(file)),
          ],
      ...rest,
    ]);
  }
  const gguf = (options.moreModels?.diffusion_models ?? []).filter(isGguf);
  if (gguf.length > 0) classes.UnetLoaderGGUF = ggufLoader(gguf);
  const { KSampler: sampler } = classes;
  for (let n = 1; n <= (options.moreNodes ?? 0) && sampler !== undefined; n += 1) {
    classes[`Pack sampler ${n}`] = sampler;
  }
  return options.version === '0.8.0' ? upgradeTo080(classes) : classes;
}

function isGguf(file: string): boolean {
  return file.endsWith('.gguf');
}

/** As city96's ComfyUI-GGUF describes it. */
function ggufLoader(files: readonly string[]): NodeClass {
  return {
    input: { required: { unet_name: [files] } },
    input_order: { required: ['unet_name'] },
    output: ['MODEL'],
    output_is_list: [false],
    output_name: ['MODEL'],
    name: 'UnetLoaderGGUF',
    display_name: 'Unet Loader (GGUF)',
    python_module: 'custom_nodes.ComfyUI-GGUF',
    category: 'bootleg',
    output_node: false,
  };
}

function isNodeClass(info: unknown): info is NodeClass {
  return isObject(info) && isObject(info.input) && Array.isArray(info.output);
}

function mapInputs(info: NodeClass, change: (config: InputConfig, name: string) => InputConfig): NodeClass {
  const input = Object.entries(info.input).map(([group, configs]) => {
    if (group === 'hidden') return [group, configs];
    const changed = Object.entries(configs).map(([name, config]) => [name, change(config, name)]);
    return [group, Object.fromEntries(changed)];
  });
  return { ...info, input: Object.fromEntries(input) };
}

/** Adds what 0.8.0 added to these classes. */
function upgradeTo080(classes: NodeClasses): NodeClasses {
  const added: Record<string, Record<string, readonly string[]>> = {
    CLIPLoader: { type: ['flux2', 'ovis'] },
    FluxKontextMultiReferenceLatentMethod: { reference_latents_method: ['index_timestep_zero'] },
    KSampler: { sampler_name: ['exp_heun_2_x0', 'exp_heun_2_x0_sde'] },
  };
  const upgraded: Record<string, NodeClass> = {};
  for (const [name, info] of Object.entries(classes)) {
    upgraded[name] = mapInputs(info, (config, input) => withOptions(config, added[name]?.[input] ?? []));
  }
  const scale = upgraded.ImageScaleToTotalPixels;
  if (scale !== undefined) {
    const steps: InputConfig = ['INT', { default: 1, min: 1, max: 256 }];
    const required = { ...scale.input.required, resolution_steps: steps };
    upgraded.ImageScaleToTotalPixels = {
      ...scale,
      input: { ...scale.input, required },
      input_order: { required: Object.keys(required) },
    };
  }
  return upgraded;
}

/** Adds options to a combo of either form: V1 lists them in place of the type, V3 has `"COMBO"` with `options`. */
function withOptions([type, constraints]: InputConfig, more: readonly string[]): InputConfig {
  if (typeof type !== 'string') return constraints ? [[...type, ...more], constraints] : [[...type, ...more]];
  const options = constraints?.options;
  if (Array.isArray(options)) return [type, { ...constraints, options: [...options, ...more] }];
  return constraints ? [type, constraints] : [type];
}

/** The body of GET /object_info. */
export function describeClasses(classes: NodeClasses, files: EngineFiles): NodeClasses {
  return Object.fromEntries(
    Object.entries(classes).map(([name, info]) => [name, withInputFiles(name, info, files)]),
  );
}

/** The body of GET /object_info/{name}: empty when there is no such class. */
export function describeClass(classes: NodeClasses, name: string, files: EngineFiles): NodeClasses {
  const info = Object.hasOwn(classes, name) ? classes[name] : undefined;
  return info === undefined ? {} : { [name]: withInputFiles(name, info, files) };
}

/** A node that loads an image lists the files that are in the input folder now. */
function withInputFiles(name: string, info: NodeClass, files: EngineFiles): NodeClass {
  if (name !== 'LoadImage' && name !== 'LoadImageMask') return info;
  return mapInputs(info, ([type, ...rest], input) => [
    input === 'image' ? files.list('input') : type,
    ...rest,
  ]);
}

/** The names of the model folders. */
export function modelFolders(): string[] {
  return Object.keys(MODEL_FOLDERS);
}

/** The files of a model folder; null when there is no such folder. */
export function modelsIn(classes: NodeClasses, folder: string): string[] | null {
  const [classType, input] = (Object.hasOwn(MODEL_FOLDERS, folder) && MODEL_FOLDERS[folder]) || [];
  if (classType === undefined || input === undefined) return null;
  const options = classes[classType]?.input.required?.[input]?.[0];
  const names = Array.isArray(options) ? options : [];
  return names.filter(option => typeof option === 'string' && option.endsWith('.safetensors'));
}
