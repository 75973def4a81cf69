import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { EDIT, startBenchRig } from './support/rig.ts';
import { summary } from './support/statistics.ts';

const JOBS = 200;
const WATCH = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { status progress } }';

/** From sending `editImage` to what its subscriber hears, one job after another, on steps that take no time. */
export async function measure(): Promise<Record<string, unknown>> {
  const rig = await startBenchRig([{ stepMs: 0 }]);
  const client = createClient({
    url: `${rig.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    lazy: false,
  });
  const first: number[] = [];
  const running: number[] = [];
  const done: number[] = [];
  try {
    for (let n = 0; n < JOBS + 10; n += 1) {
      const input = { images: [{ dataUri: rig.picture }], prompt: `job ${n}`, steps: 4, megapixels: 0.1 };
      const sent = performance.now();
      const { editImage } = await rig.graphql<{ editImage: { id: string } }>(EDIT, { input });
      let seen: { first?: number; running?: number } = {};
      for await (const { data } of client.iterate<{ jobProgress: { status: string } }>({
        query: WATCH,
        variables: { jobId: editImage.id },
      })) {
        const at = performance.now() - sent;
        seen = { first: seen.first ?? at };
        if (data?.jobProgress.status === 'PROCESSING') seen.running ??= at;
        if (n >= 10 && seen.first === at) first.push(at);
        if (n >= 10 && data?.jobProgress.status === 'PROCESSING' && running.length < first.length)
          running.push(at);
      }
      if (n >= 10) done.push(performance.now() - sent);
    }
  } finally {
    await client.dispose();
    await rig.stop();
  }
  return {
    'editImage → first snapshot, ms': summary(first),
    'editImage → the engine runs it, ms': summary(running),
    'editImage → picture stored, ms': summary(done),
  };
}
