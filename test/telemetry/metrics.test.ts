import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { API_KEYS, as, KEYS, postGraphQL, submit } from '../support/requests.ts';
import { samplesOf, scrape } from '../support/scrape.ts';
import { openSocket } from '../support/sockets.ts';
import { until, waitForEnd, watchOverWebSocket } from '../support/watch.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '10ms', GRAPHQL_MAX_ALIASES: '100', GRAPHQL_MAX_COST: '1000000' });
});
afterAll(() => rig.close());

const WORKFLOW = 'workflow="qwen-image-edit-plus"';

describe('GET /metrics', () => {
  it('counts a job from its submit to its end, and times its parts', async () => {
    const id = await submit(rig, { steps: 4 });
    await watchOverWebSocket(rig.url, id);
    const { status, type, samples } = await scrape(`${rig.url}/metrics`);
    expect(status).toBe(200);
    expect(type).toContain('text/plain; version=0.0.4');
    const engine = [...samples.keys()].find(key => key.startsWith('qwen_edit_engine_state'));
    const label = /engine="[^"]+"/.exec(engine ?? '')?.[0];
    expect(Object.fromEntries(samples)).toMatchObject({
      [`qwen_edit_jobs_submitted_total{${WORKFLOW},priority="NORMAL"}`]: 1,
      [`qwen_edit_jobs_ended_total{${WORKFLOW},outcome="completed",code=""}`]: 1,
      [`qwen_edit_job_wait_seconds_count{${WORKFLOW}}`]: 1,
      [`qwen_edit_job_run_seconds_count{${WORKFLOW},outcome="completed"}`]: 1,
      [`qwen_edit_job_stage_seconds_count{${WORKFLOW},stage="SAMPLING"}`]: 1,
      [`qwen_edit_runs_started_total{${label}}`]: 1,
      [`qwen_edit_engine_state{${label},state="READY"}`]: 1,
      [`qwen_edit_engine_state{${label},state="DOWN"}`]: 0,
      [`qwen_edit_lanes{${label},state="busy"}`]: 0,
      [`qwen_edit_lanes{${label},state="idle"}`]: 2,
      'qwen_edit_queue_jobs{state="waiting"}': 0,
      qwen_edit_queue_oldest_wait_seconds: 0,
      'qwen_edit_image_loads_total{source="url",code=""}': 1,
      'qwen_edit_http_request_seconds_count{method="POST",route="/edit-image",status="200"}': 1,
    });
    const stages = [...samples].filter(([key]) => key.startsWith('qwen_edit_job_stage_seconds_sum'));
    const run = samples.get(`qwen_edit_job_run_seconds_sum{${WORKFLOW},outcome="completed"}`) ?? 0;
    // Images are sent to the engine before the run starts.
    const wait = samples.get(`qwen_edit_job_wait_seconds_sum{${WORKFLOW}}`) ?? 0;
    expect(stages.reduce((sum, [, seconds]) => sum + seconds, 0)).toBeLessThanOrEqual(wait + run + 0.05);
    expect(samples.get(`qwen_edit_engine_busy_seconds_total{${label}}`)).toBeGreaterThan(0);
  });

  it('counts watchers and what they get', async () => {
    const id = await submit(rig, { steps: 8 });
    const seen = await watchOverWebSocket(rig.url, id);
    await until(
      async () =>
        (await scrape(`${rig.url}/metrics`)).samples.get('qwen_edit_watchers{transport="websocket"}') === 0,
    );
    const { samples } = await scrape(`${rig.url}/metrics`);
    expect(samples.get('qwen_edit_snapshots_delivered_total{transport="websocket"}')).toBeGreaterThanOrEqual(
      seen.length,
    );
  });

  describe('of a client that does not read', () => {
    // Each result is half a megabyte: a run has more of them than the kernel buffers.
    const prompts = Array.from({ length: 50 }, (_, n) => `p${n}: request { prompt }`).join(' ');
    const query = `subscription ($id: ID!) { jobProgress(jobId: $id) { status ${prompts} } }`;
    const edit = { prompt: 'p'.repeat(9_900), steps: 100 };
    const count = async (what: 'delivered' | 'conflated', transport: string): Promise<number> =>
      (await samplesOf(rig, `qwen_edit_snapshots_${what}_total`))[`{transport="${transport}"}`] ?? 0;

    it('counts results that it gets later, and those that newer ones replaced', async () => {
      const earlier = await count('delivered', 'websocket');
      const id = await submit(rig, edit);
      const { socket, send, next } = await openSocket(rig.url);
      socket.pause();
      send({ type: 'subscribe', id: 'slow', payload: { query, variables: { id } } });
      await waitForEnd(rig.url, id);
      await until(async () => (await count('conflated', 'websocket')) > 0);
      socket.resume();
      let received = 0;
      while ((await next()).type === 'next') received += 1;
      socket.close();
      expect(received).toBeGreaterThan(1);
      expect(await count('delivered', 'websocket')).toBe(earlier + received);
    });

    it('counts those of server-sent events', async () => {
      const id = await submit(rig, edit);
      const events = await fetch(`${rig.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
        body: JSON.stringify({ query, variables: { id } }),
      });
      await waitForEnd(rig.url, id);
      await until(async () => (await count('conflated', 'sse')) > 0);
      await events.body?.cancel();
    });
  });

  it('counts each duration in its bucket and those above', async () => {
    await postGraphQL(rig.url, 'query Timed { __typename }');
    await fetch(`${rig.url}/nowhere`);
    const { samples } = await scrape(`${rig.url}/metrics`);
    for (const [name, labels] of [
      ['qwen_edit_graphql_operation_seconds', 'kind="query",name="Timed"'],
      ['qwen_edit_http_request_seconds', 'method="GET",route="",status="404"'],
    ]) {
      const buckets = [...samples].filter(
        ([key]) => key.startsWith(`${name}_bucket{le="`) && key.endsWith(`",${labels}}`),
      );
      const counts = buckets.map(([, count]) => count);
      expect(counts).toHaveLength(14);
      expect(counts).toEqual(counts.toSorted((a, b) => a - b));
      expect(buckets.at(-1)).toEqual([`${name}_bucket{le="+Inf",${labels}}`, 1]);
      expect(samples.get(`${name}_count{${labels}}`)).toBe(1);
      const sum = samples.get(`${name}_sum{${labels}}`) ?? 0;
      expect(sum).toBeGreaterThan(0);
      const [bound] = buckets.find(([, count]) => count === 1) ?? [];
      expect(sum).toBeLessThanOrEqual(
        Number(/le="([^"]+)"/.exec(bound ?? '')?.[1]?.replace('+Inf', 'Infinity')),
      );
    }
  });

  it('counts operations by name, and names beyond the first fifty as other', async () => {
    for (let n = 0; n < 60; n++) await postGraphQL(rig.url, `query Mine${n} { __typename }`);
    await postGraphQL(rig.url, 'query Mine0 { __typename }');
    const { samples } = await scrape(`${rig.url}/metrics`);
    const prefix = 'qwen_edit_graphql_operations_total{kind="query",';
    const names = [...samples.keys()].filter(key => key.startsWith(prefix));
    expect(names.length).toBeLessThanOrEqual(51);
    expect(samples.get(`${prefix}name="Mine0",transport="post",outcome="completed"}`)).toBe(2);
    expect(samples.get(`${prefix}name="other",transport="post",outcome="completed"}`)).toBeGreaterThanOrEqual(
      10,
    );
  });

  it('says why images were rejected', async () => {
    await expect(submit(rig, { image1_url: 'http://10.0.0.1/x.png' })).rejects.toThrow();
    const { samples } = await scrape(`${rig.url}/metrics`);
    expect(samples.get('qwen_edit_image_loads_total{source="url",code="INPUT_BLOCKED"}')).toBe(1);
  });

  it('has names, units and helps as Prometheus wants them', async () => {
    const { text } = await scrape(`${rig.url}/metrics`);
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({
      name,
      type,
    }));
    expect(types.length).toBeGreaterThan(20);
    expect(text).not.toContain('quantile=');
    for (const { name, type } of types) {
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|minutes|mb|percent)(_|$)/);
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, 'm'));
    }
  });

  it('is for operators where callers are identified', async () => {
    const closed = await startRig({ API_KEYS });
    onTestFinished(() => closed.close());
    const url = `${closed.url}/metrics`;
    expect((await scrape(url)).status).toBe(401);
    expect((await scrape(url, as(KEYS.alice))).status).toBe(403);
    expect((await scrape(url, as(KEYS.olga))).status).toBe(200);
  });

  it('moves to METRICS_PORT, without credentials', async () => {
    const log = recordLog();
    const closed = await startRig({ API_KEYS, METRICS_PORT: '0' }, log);
    onTestFinished(() => closed.close());
    expect((await scrape(`${closed.url}/metrics`, as(KEYS.olga))).status).toBe(404);
    const { fields } = log.lines.find(({ message }) => message === 'metrics') ?? { fields: {} };
    const { url } = { url: '', ...fields };
    const { status, samples } = await scrape(url);
    expect(status).toBe(200);
    expect(samples.has('process_resident_memory_bytes')).toBe(true);
    expect((await fetch(url.replace('/metrics', '/jobs'))).status).toBe(404);
  });
});
