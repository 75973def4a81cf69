import { startEngine } from '../processes.ts';
import recorded from './durations.json' with { type: 'json' };

/** What the times of a run depend on. */
export interface Shape {
  readonly images: number;
  readonly megapixels: number;
  readonly steps: number;
}

/** An engine to estimate. */
export interface EtaEngine {
  readonly name: string;
  readonly url: string;
  /** The next run has this shape. */
  prepare(shape: Shape): Promise<void>;
  /** The next run loads its models again. */
  forgetModels(): Promise<void>;
  stop(): Promise<void>;
}

/** Seconds of nodes by class for one image of a quarter megapixel, and what loading adds to the first of them. */
type Durations = Readonly<Record<string, { readonly seconds: number; readonly load?: number }>>;

/** The sandbox with the times of `durations.json`, where `speed` is how many times faster it plays them. */
export async function recordedEngine(name: keyof typeof recorded): Promise<EtaEngine> {
  const engine = await startEngine(0);
  const { speed, nodes }: { speed: number; nodes: Durations } = recorded[name];
  const control = async (faults: object): Promise<void> => {
    const answer = await fetch(`${engine.url}/sandbox/faults`, {
      method: 'POST',
      body: JSON.stringify(faults),
    });
    if (!answer.ok) throw new Error(await answer.text());
  };
  return {
    name,
    url: engine.url,
    async prepare(shape) {
      const entries = Object.entries(nodes).map(([classType, { seconds, load = 0 }]) => {
        const ms = (seconds * growth(classType, shape) * 1000) / speed;
        return [classType, { ms, loadMs: (load * 1000) / speed }];
      });
      await control({ durations: Object.fromEntries(entries) });
    },
    async forgetModels() {
      await fetch(`${engine.url}/free`, {
        method: 'POST',
        body: JSON.stringify({ unload_models: true, free_memory: true }),
      });
    },
    stop: engine.stop,
  };
}

/** A ComfyUI, with the times that it takes. */
export async function realEngine(url: string): Promise<EtaEngine> {
  return {
    name: 'ComfyUI',
    url,
    prepare: async () => {},
    async forgetModels() {
      await fetch(`${url}/free`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ unload_models: true, free_memory: true }),
      });
    },
    stop: async () => {},
  };
}

/** Tokens of an image of a quarter megapixel with one reference image of one. */
const TOKENS = (0.25 + 1) * 4096;

/** How the time of a node grows from one image of a quarter megapixel. */
function growth(classType: string, { images, megapixels }: Shape): number {
  switch (classType) {
    case 'KSampler':
      return (((megapixels + images) * 4096) / TOKENS) ** 1.25;
    case 'TextEncodeQwenImageEditPlus':
      return (1 + 2 * images) / 3;
    case 'VAEEncode':
    case 'VAEDecode':
    case 'SaveImage':
      return megapixels / 0.25;
    default:
      return 1;
  }
}
