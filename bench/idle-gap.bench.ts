import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { EDIT, startBenchRig } from './support/rig.ts';
import { summary } from './support/statistics.ts';

const JOBS = 100;

/** How long an engine has nothing to do between two jobs while work waits, by its own clock; one lane and two. */
export async function measure(): Promise<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  for (const lanes of [1, 2]) {
    const rig = await startBenchRig([{ stepMs: 5 }], { LANES_PER_ENGINE: String(lanes) });
    const client = createClient({
      url: `${rig.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
    });
    try {
      const ids: string[] = [];
      for (let n = 0; n < JOBS; n += 1) {
        const input = { images: [{ dataUri: rig.picture }], prompt: `job ${n}`, steps: 4, megapixels: 0.1 };
        ids.push((await rig.graphql<{ editImage: { id: string } }>(EDIT, { input })).editImage.id);
      }
      for (const jobId of ids) {
        const query = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { status } }';
        for await (const _ of client.iterate({ query, variables: { jobId } }));
      }
      const stats: { timeline: { startedAt: number; endedAt: number }[] } = await (
        await fetch(`${rig.engineUrls[0]}/sandbox/stats`)
      ).json();
      const gaps = stats.timeline
        .slice(1)
        .map(({ startedAt }, n) => startedAt - (stats.timeline[n]?.endedAt ?? startedAt));
      result[`${lanes} lane${lanes > 1 ? 's' : ''}, ms`] = summary(gaps);
    } finally {
      await client.dispose();
      await rig.stop();
    }
  }
  return result;
}
