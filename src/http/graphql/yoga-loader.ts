import type { FormatResult } from './post.ts';
import type { YogaDoor, YogaOptions } from './yoga.ts';

/** Yoga, loaded when a request first needs it: it takes a fifth of the start, and plain posts and sockets go without it. */
export interface LazyYoga {
  door(): Promise<YogaDoor>;
  readonly format: FormatResult;
  /** Ends it if it was loaded. */
  dispose(): Promise<void>;
}

export function createLazyYoga(options: YogaOptions): LazyYoga {
  let loaded: Promise<YogaDoor> | null = null;
  const door = (): Promise<YogaDoor> => {
    loaded ??= import('./yoga.ts').then(({ createYogaDoor }) => createYogaDoor(options));
    return loaded;
  };
  return {
    door,
    async format(result, type) {
      const [{ fetchAPI }, { processRegularResult }] = await Promise.all([door(), import('graphql-yoga')]);
      return processRegularResult(result, fetchAPI, type);
    },
    async dispose() {
      await (await loaded)?.dispose();
    },
  };
}
