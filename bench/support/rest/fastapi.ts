import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** FastAPI in a process of its own. */
export interface FastApi {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts FastAPI on uvicorn, which answers `/status/…` with this value. Null where the interpreter, `BENCH_PYTHON` or
 * `python3`, does not have both.
 */
export async function startFastApi(answer: unknown): Promise<FastApi | null> {
  const python = process.env.BENCH_PYTHON ?? 'python3';
  try {
    await promisify(execFile)(python, ['-c', 'import fastapi, uvicorn']);
  } catch {
    return null;
  }
  const script = fileURLToPath(new URL('fastapi_server.py', import.meta.url));
  const child = spawn(python, [script, JSON.stringify(answer)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface(child.stdout);
  const url = await Promise.race([
    once(lines, 'line').then(([line]) => String(line)),
    exited.then(([code]) => Promise.reject(new Error(`FastAPI ended with ${code}`))),
  ]);
  await answers(url);
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** It says its port before it listens. */
async function answers(url: string): Promise<void> {
  for (;;) {
    try {
      await fetch(`${url}/status/first`);
      return;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
}
