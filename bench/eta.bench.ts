import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { EDIT, startBenchRig } from './support/rig.ts';

const JOBS = 50;
const MARKS = [25, 50, 75];

/** How wrong the ETA is: mean absolute error in percent of the time that truly remained, at three points of progress. */
export async function measure(): Promise<Record<string, unknown>> {
  const rig = await startBenchRig([{ stepMs: 25 }]);
  const client = createClient({ url: `${rig.url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket });
  const errors = new Map<number, number[]>(MARKS.map(mark => [mark, []]));
  const unknown = new Map<number, number>(MARKS.map(mark => [mark, 0]));
  try {
    for (let n = 0; n < JOBS; n += 1) {
      const megapixels = [0.25, 0.5, 1][n % 3];
      const input = {
        images: [{ dataUri: rig.picture }],
        prompt: `job ${n}`,
        steps: 10 + (n % 4) * 5,
        megapixels,
      };
      const { editImage } = await rig.graphql<{ editImage: { id: string } }>(EDIT, { input });
      const seen = new Map<number, { at: number; eta: number | null }>();
      const query = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { progress etaSeconds } }';
      for await (const { data } of client.iterate<{
        jobProgress: { progress: number; etaSeconds: number | null };
      }>({ query, variables: { jobId: editImage.id } })) {
        const { progress = 0, etaSeconds = null } = data?.jobProgress ?? {};
        for (const mark of MARKS) {
          if (progress >= mark && progress < 99 && !seen.has(mark))
            seen.set(mark, { at: performance.now(), eta: etaSeconds });
        }
      }
      const end = performance.now();
      for (const [mark, { at, eta }] of seen) {
        const remained = (end - at) / 1000;
        if (eta === null) unknown.set(mark, (unknown.get(mark) ?? 0) + 1);
        else errors.get(mark)?.push((Math.abs(eta - remained) / remained) * 100);
      }
    }
  } finally {
    await client.dispose();
    await rig.stop();
  }
  const mean = (values: readonly number[]): number =>
    Math.round((values.reduce((a, b) => a + b, 0) / values.length) * 10) / 10;
  return Object.fromEntries(
    MARKS.map(mark => [
      `at ${mark} %`,
      { 'mean error, %': mean(errors.get(mark) ?? []), 'no ETA yet': unknown.get(mark) },
    ]),
  );
}
