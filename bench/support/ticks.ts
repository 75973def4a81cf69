/** What a server of the measurements is told: to change what it has so often. */
export interface Ticks {
  readonly times: number;
  readonly everyMs: number;
}

/** Calls `tick` with 1, 2, … every so often; resolves after the last. A tick that takes longer delays the next. */
export async function runTicks(
  { times, everyMs }: Ticks,
  tick: (n: number) => void | Promise<void>,
): Promise<void> {
  let due = performance.now();
  for (let n = 1; n <= times; n += 1) {
    due = Math.max(due + everyMs, performance.now());
    await new Promise(resolve => setTimeout(resolve, Math.max(0, due - performance.now())));
    await tick(n);
  }
}

/** Answers each `{ticks}` that this process is told with `{ticked}`, after the last of them. */
export function obeyTicks(tick: (n: number, ticks: Ticks) => void | Promise<void>): void {
  process.on('message', ({ ticks }: { ticks?: Ticks }) => {
    if (ticks === undefined) return;
    runTicks(ticks, n => tick(n, ticks)).then(
      () => process.send?.({ ticked: true }),
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  });
}
