/** What has to be undone at the end, collected as parts start. */
export interface Stops {
  add(step: () => Promise<void> | void): void;
  /** Runs the steps, the newest first, each once. */
  run(): Promise<void>;
}

export function createStops(): Stops {
  const steps: (() => Promise<void> | void)[] = [];
  return {
    add: step => void steps.push(step),
    async run() {
      for (const step of steps.splice(0).reverse()) await step();
    },
  };
}
