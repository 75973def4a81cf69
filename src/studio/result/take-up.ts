import type { Studio } from '../app/studio.ts';
import { texts } from '../texts.ts';

type Parts = Pick<Studio, 'jobs' | 'images' | 'masks' | 'prompt' | 'parameters' | 'announcer'>;

/** Fills the form with the request of a job, its images and its mask included, so that it can be changed and submitted again. */
export async function takeUp(
  { jobs, images, masks, prompt, parameters, announcer }: Parts,
  id: string,
): Promise<void> {
  const request = await jobs.request(id);
  if (request === null) return;
  masks.remove();
  prompt.text.value = request.prompt;
  prompt.negative.value = request.negativePrompt;
  parameters.take(request);
  parameters.setSeed(request.seed);
  const files = await Promise.all(request.images.map(({ url, slot }) => fileOf(url, `image ${slot}`)));
  const mask = await fileOf(request.mask?.url ?? null, 'mask');
  images.replace([]);
  images.addFiles(files.filter(file => file !== null));
  if (mask !== null) await masks.take(mask);
  if (files.includes(null)) announcer.say(texts.result.inputsGone);
}

/** Null: it is gone. */
async function fileOf(url: string | null, name: string): Promise<File | null> {
  if (url === null) return null;
  const response = await fetch(url);
  if (!response.ok) return null;
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}
