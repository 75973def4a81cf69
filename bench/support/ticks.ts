/** The message that makes a server under measurement change its jobs at each tick. */
export interface Ticks {
  readonly times: number;
  readonly everyMs: number;
}

/** Calls `tick` with 1, 2, … at an interval; resolves after the last. A slow tick delays the next. */
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

/** Replies to each message `{ticks}` with `{ticked}` after the last tick. */
export function obeyTicks(tick: (n: number, ticks: Ticks) => void | Promise<void>): void {
  process.on('message', ({ ticks }: { ticks?: Ticks }) => {
    if (ticks === undefined) return;
    runTicks(ticks, n => tick(n, ticks)).then(
      () => process.send?.({ ticked: true }),
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  });
}
