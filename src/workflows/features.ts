import type { Workflow } from './load.ts';

/** Something that this gateway can do besides the one edit, as GET `/` names it. */
export type Feature = 'multi-image-support' | 'nunchaku-optimization';

/** The classes by which node packs load Nunchaku's 4-bit models: NunchakuQwenImageDiTLoader and its kin. */
const NUNCHAKU_LOADER = /^Nunchaku\w*Loader/;

/**
 * What can be done now: `multi-image-support` when some engine can run a workflow that takes more than one picture,
 * `nunchaku-optimization` when some engine can run one that loads its model by a Nunchaku loader. `canRun` tells
 * whether an engine is there that can run the workflow of a name.
 */
export function featuresOf(workflows: readonly Workflow[], canRun: (name: string) => boolean): Feature[] {
  const runnable = workflows.filter(({ name }) => canRun(name));
  const features: Feature[] = [];
  if (runnable.some(({ manifest }) => manifest.images.length > 1)) features.push('multi-image-support');
  if (runnable.some(loadsNunchaku)) features.push('nunchaku-optimization');
  return features;
}

function loadsNunchaku({ graph, manifest }: Workflow): boolean {
  const classes = [
    ...Object.values(graph).map(node => node.class_type),
    ...manifest.requires.nodes.map(entry => entry.class),
  ];
  return classes.some(name => NUNCHAKU_LOADER.test(name));
}
