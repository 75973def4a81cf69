import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { call } from '../support/comfyui/sandbox.ts';

interface Started {
  /** Resolves with the first line of its output. */
  readonly line: Promise<string>;
  /** Resolves when it has exited. */
  readonly end: Promise<{ code: number | null; out: string; error: string }>;
  kill(signal: NodeJS.Signals): void;
}

function startMain(args: readonly string[], env: Record<string, string> = {}): Started {
  const child = spawn(process.execPath, ['sandbox.js', ...args], {
    env: { ...process.env, ...env },
  });
  let out = '';
  let error = '';
  child.stderr.on('data', chunk => {
    error += String(chunk);
  });
  const line = new Promise<string>(resolve => {
    child.stdout.on('data', chunk => {
      out += String(chunk);
      if (out.includes('\n')) resolve(out.slice(0, out.indexOf('\n')));
    });
  });
  const end = once(child, 'close').then(([code]) => ({ code, out, error }));
  return { line, end, kill: signal => void child.kill(signal) };
}

describe('npm run sandbox', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('prints its address, serves, and exits on %s', async signal => {
    const main = startMain(['--port', '0', '--step-ms', '0', '--control', '--version', '0.3.64']);
    const url = await main.line;
    expect((await call(`${url}/system_stats`)).body).toMatchObject({
      system: { comfyui_version: '0.3.64', sandbox: true },
      devices: [{ name: 'sandbox (no GPU, no model)' }],
    });
    expect((await call(`${url}/sandbox/stats`)).status).toBe(200);
    main.kill(signal);
    expect(await main.end).toEqual({ code: 0, out: `${url}\n`, error: '' });
  });

  it('listens on PORT and HOST, which its arguments override', async () => {
    const probe = startMain([], { PORT: '0' });
    const { port } = new URL(await probe.line);
    probe.kill('SIGTERM');
    await probe.end;
    const main = startMain([], { PORT: port, HOST: 'localhost' });
    expect(new URL(await main.line).port).toBe(port);
    main.kill('SIGTERM');
    await main.end;
    const bad = await startMain([], { PORT: '80a' }).end;
    expect([bad.code, bad.error]).toEqual([1, 'PORT takes an integer from 0 to 65535, got "80a"\n']);
    const overridden = startMain(['--port', '0'], { PORT: '80a' });
    expect(await overridden.line).toMatch(/^http:/);
    overridden.kill('SIGTERM');
    await overridden.end;
  });

  it('does not start in production', async () => {
    const { code, error } = await startMain(['--port', '0'], { NODE_ENV: 'production' }).end;
    expect([code, error]).toEqual([1, expect.stringContaining('NODE_ENV=production')]);
  });

  it('prints its help, and names an invalid argument', async () => {
    const help = await startMain(['--help']).end;
    expect([help.code, help.out]).toEqual([0, expect.stringContaining('--step-ms')]);
    for (const args of [['--port', 'x'], ['--version', '9'], ['--nope']]) {
      const { code, error } = await startMain(args).end;
      expect([code, error]).toEqual([1, expect.stringContaining(args[0] ?? '')]);
    }
  });

  it('reports that its port is in use', async () => {
    const first = startMain(['--port', '0']);
    const { port } = new URL(await first.line);
    const { code, error } = await startMain(['--port', port]).end;
    const fault = `Port ${port} is in use (EADDRINUSE): set --port or PORT, 0 picks a free one\n`;
    expect([code, error]).toEqual([1, fault]);
    first.kill('SIGTERM');
    await first.end;
  });
});
