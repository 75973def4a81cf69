import { describe, expect, it } from 'vitest';
import { loadWorkflows } from '../../src/workflows/files/load.ts';
import { featuresOf, type Workflow } from '../../src/workflows/workflow.ts';
import { SHIPPED_FOLDER, shipped } from '../support/comfyui/workflows.ts';

describe('featuresOf', () => {
  it.each([
    [[], []],
    [['qwen-image-edit-plus'], ['multi-image-support']],
    [['qwen-image-edit-plus-nunchaku'], ['multi-image-support', 'nunchaku-optimization']],
    [['qwen-image-edit-2511', 'qwen-image-edit-plus-lightning'], ['multi-image-support']],
  ])('for engines that can run %j', async (names, features) => {
    const { workflows } = await loadWorkflows(SHIPPED_FOLDER);
    expect(featuresOf(workflows, name => names.includes(name))).toEqual(features);
  });

  it('depends on what a workflow takes and loads, not on its name', async () => {
    const plus = await shipped('qwen-image-edit-plus');
    const single: Workflow = {
      ...plus,
      name: 'nunchaku-in-name-only',
      manifest: { ...plus.manifest, images: plus.manifest.images.slice(0, 1) },
    };
    expect(featuresOf([single], () => true)).toEqual([]);
    const nunchaku = await shipped('qwen-image-edit-plus-nunchaku');
    expect(featuresOf([{ ...nunchaku, name: 'plain' }], () => true)).toContain('nunchaku-optimization');
  });
});
