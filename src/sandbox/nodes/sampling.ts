import type { NodeContext } from './nodes.ts';
import { composeScene, noiseOf, previewFrame, previewSize, type Scene } from './render.ts';

/** Pixels of a preview's longer side. */
const PREVIEW_SIDE = 256;
/** Different preview pictures in one sampling: the rest repeat the last one, to keep the sandbox cheap. */
const FRAMES = 12;
const HURRIED_FRAMES = 2;

/**
 * "Samples": takes the scene's number of steps, each with progress and a preview on the way from noise to the final
 * picture. Throws what the context throws.
 */
export async function sample(
  scene: Scene,
  width: number,
  height: number,
  context: Pick<NodeContext, 'work' | 'step' | 'beforeSampling' | 'hurried'>,
): Promise<void> {
  context.beforeSampling(scene.prompt);
  const size = previewSize(width, height, PREVIEW_SIDE);
  const picture = await composeScene(scene, size.width, size.height);
  const noise = noiseOf(size.width, size.height, scene.seed);
  const frames = Math.min(context.hurried ? HURRIED_FRAMES : FRAMES, scene.steps);
  let drawn = 0;
  let jpeg: Buffer = Buffer.alloc(0);
  for (let step = 1; step <= scene.steps; step += 1) {
    await context.work(1);
    const frame = Math.ceil((step * frames) / scene.steps);
    if (frame !== drawn) {
      drawn = frame;
      jpeg = await previewFrame(picture, noise, step / scene.steps);
    }
    context.step(step, scene.steps, jpeg);
  }
}
