/** Folders of model files by the input that names them (ComfyUI's nodes.py, and the loaders of common node packs). */
const MODEL_FOLDERS: Readonly<Record<string, string>> = {
  unet_name: 'diffusion_models',
  model_name: 'diffusion_models',
  model_path: 'diffusion_models',
  clip_name: 'text_encoders',
  clip_name1: 'text_encoders',
  clip_name2: 'text_encoders',
  vae_name: 'vae',
  lora_name: 'loras',
  ckpt_name: 'checkpoints',
  control_net_name: 'controlnet',
};

/** The folder, below the engine's models folder, of a file that this input names; `models` when that is not known. */
export function modelFolder(input: string): string {
  return MODEL_FOLDERS[input] ?? 'models';
}

/** Whether a constant names a file of model weights. */
export function isModelFile(value: unknown): value is string {
  return typeof value === 'string' && /\.(safetensors|sft|gguf|ckpt|pt|pth|bin)$/i.test(value);
}
