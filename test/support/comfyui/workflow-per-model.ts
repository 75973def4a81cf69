import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SHIPPED = fileURLToPath(new URL('../../../workflows/qwen-image-edit-plus', import.meta.url));
const MODEL = 'qwen_image_edit_2509_fp8_e4m3fn.safetensors';

/** Diffusion models that the sandbox has. */
export const MODELS = [
  MODEL,
  'qwen_image_edit_2511_bf16.safetensors',
  'qwen_image_edit_2511_fp8mixed.safetensors',
] as const;

/** A folder with a workflow for each of the models, which differ in nothing else: `model-0` and so on. */
export async function workflowPerModel(): Promise<{ readonly folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'workflows-'));
  for (const [n, model] of MODELS.entries()) {
    const name = `model-${n}`;
    await cp(SHIPPED, join(folder, name), { recursive: true });
    for (const file of ['graph.json', 'workflow.json']) {
      const path = join(folder, name, file);
      const text = await readFile(path, 'utf8');
      await writeFile(path, text.replaceAll(MODEL, model).replace('"qwen-image-edit-plus"', `"${name}"`));
    }
  }
  return { folder, remove: () => rm(folder, { recursive: true }) };
}
