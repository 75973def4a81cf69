import { describe, expect, it } from 'vitest';
import {
  call,
  editGraph,
  isType,
  openSocket,
  plainPng,
  readStats,
  startTestSandbox,
  submitGraph,
  upload,
  uploadInput,
} from '../support/comfyui/sandbox.ts';
import { eventually } from '../support/watch.ts';

describe('sockets', () => {
  it('sends a second socket of a client id nothing more once the first closes', async () => {
    const sandbox = await startTestSandbox();
    const image = await uploadInput(sandbox);
    const older = await openSocket(sandbox.url, 'same');
    const newer = await openSocket(sandbox.url, 'same');
    await older.close();
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.sockets.length === 0,
    );
    const received = newer.frames.length;
    const other = await openSocket(sandbox.url, 'other');
    await submitGraph(sandbox, 'same', editGraph({ image, prefix: 'x' }));
    // `status` goes to every client id that still has a socket.
    await other.until(
      frame => isType(frame, 'status') && JSON.stringify(frame).includes('"queue_remaining":1'),
    );
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.completed.same === 1,
    );
    expect(newer.frames).toHaveLength(received);
  });

  it('assigns an id to a client that sends none', async () => {
    const sandbox = await startTestSandbox();
    const socket = await openSocket(sandbox.url, '');
    expect(socket.frames[0]).toMatchObject({ data: { sid: expect.stringMatching(/^[0-9a-f]{32}$/) } });
  });

  it('sends the progress of a prompt without a client id to all sockets', async () => {
    const sandbox = await startTestSandbox();
    const image = await uploadInput(sandbox);
    const socket = await openSocket(sandbox.url, 'observer');
    await call(`${sandbox.url}/prompt`, 'POST', {
      prompt: editGraph({ image, prefix: 'x' }),
      prompt_id: 'p',
    });
    await socket.until(frame => 'binary' in frame && frame.binary.readUInt32BE(0) === 1);
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.completed.p === 1,
    );
    expect(socket.frames.some(frame => isType(frame, 'execution_start'))).toBe(false);
  });
});

describe('files', () => {
  it('serves byte ranges and rejects paths that lead outside or to no file', async () => {
    const sandbox = await startTestSandbox();
    const bytes = await plainPng(20, 20, '#fff');
    await upload(sandbox.url, 'a.png', bytes, { subfolder: 'sub' });
    const view = (query: string, headers = {}) => fetch(`${sandbox.url}/api/view?${query}`, { headers });
    const part = await view('filename=a.png&subfolder=sub&type=input', { range: 'bytes=8-15' });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 8-15/${bytes.length}`]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(8, 16));
    const statuses = await Promise.all(
      [
        'filename=a.png&subfolder=../x&type=input',
        'filename=a.png&type=elsewhere',
        'filename=',
        'filename=none.png',
        'type=input',
      ].map(async query => (await view(query)).status),
    );
    expect(statuses).toEqual([403, 400, 400, 404, 404]);
  });
});

describe('prompts and versions', () => {
  it('requires resolution_steps and validates V3 combos in 0.8.0, but not in 0.3.64', async () => {
    for (const [version, status] of [
      ['0.8.0', 400],
      ['0.3.64', 200],
    ] as const) {
      const sandbox = await startTestSandbox({ version });
      const graph = editGraph({ image: await uploadInput(sandbox), prefix: 'x' });
      const without = structuredClone(graph);
      delete without['93']?.inputs.resolution_steps;
      Object.assign(graph['93']?.inputs ?? {}, { upscale_method: 'nope' });
      for (const prompt of [graph, without]) {
        expect((await call(`${sandbox.url}/prompt`, 'POST', { prompt })).status).toBe(status);
      }
    }
  });

  it('lacks the models and nodes that its options name as missing', async () => {
    const sandbox = await startTestSandbox({
      missingModels: ['qwen_image_edit_2509_fp8_e4m3fn.safetensors'],
      missingNodes: ['CFGNorm'],
    });
    const graph = editGraph({ image: await uploadInput(sandbox), prefix: 'x' });
    const rejected = await call(`${sandbox.url}/prompt`, 'POST', { prompt: graph });
    expect(rejected.body).toMatchObject({ node_errors: { 37: { errors: [{ type: 'value_not_in_list' }] } } });
    expect((await call(`${sandbox.url}/object_info/CFGNorm`)).body).toEqual({});
    expect((await call(`${sandbox.url}/models/diffusion_models`)).body).toHaveLength(2);
    expect((await call(`${sandbox.url}/models/none`)).status).toBe(404);
  });

  it('loses its worker to a link to a missing node, while HTTP keeps responding', async () => {
    const sandbox = await startTestSandbox();
    const graph = editGraph({ image: await uploadInput(sandbox), prefix: 'x' });
    Object.assign(graph['3']?.inputs ?? {}, { unknown: ['999', 0] });
    await submitGraph(sandbox, 'p', graph);
    await submitGraph(sandbox, 'q', editGraph({ image: 'in.png', prefix: 'y' }));
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.timeline[0]?.endedAt != null,
    );
    expect(await readStats(sandbox.url)).toMatchObject({ running: 'p', pending: ['q'], completed: {} });
  });

  it('responds with 500 where the code of ComfyUI raises', async () => {
    const sandbox = await startTestSandbox();
    const bodies = [{ prompt: null }, { prompt: { 1: null } }, { prompt: {}, number: 'x' }, []];
    for (const body of bodies) expect((await call(`${sandbox.url}/prompt`, 'POST', body)).status).toBe(500);
    expect((await call(`${sandbox.url}/interrupt`, 'POST', [])).status).toBe(500);
    expect((await call(`${sandbox.url}/history?max_items=x`)).status).toBe(500);
    expect((await call(`${sandbox.url}/sandbox/none`)).status).toBe(404);
  });

  it('rejects requests from pages of other sites', async () => {
    const sandbox = await startTestSandbox();
    const { host } = new URL(sandbox.url);
    const statusFor = (origin: string): Promise<number> =>
      fetch(`${sandbox.url}/queue`, { headers: { origin } }).then(response => response.status);
    expect(await statusFor('http://elsewhere.example')).toBe(403);
    expect(await statusFor('http://127.0.0.1:1')).toBe(403);
    expect(await statusFor(`http://${host}`)).toBe(200);
  });

  it('reads no file outside its folders', async () => {
    const sandbox = await startTestSandbox();
    const prompt = editGraph({ image: '../../../../etc/hostname', prefix: 'x' });
    const { body } = await call(`${sandbox.url}/prompt`, 'POST', { prompt });
    expect(body).toMatchObject({ node_errors: { 78: { errors: [{ type: 'custom_validation_failed' }] } } });
  });

  it('serves its control routes only when enabled', async () => {
    const sandbox = await startTestSandbox({ control: false });
    expect((await call(`${sandbox.url}/sandbox/stats`)).status).toBe(404);
    expect((await call(`${sandbox.url}/sandbox/faults`, 'POST', {})).status).toBe(405);
  });
});
