import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NO_ENGINE, type ServerProcess, START, startServer } from '../processes.ts';

/** Creates a folder that is removed when the work is done or failed. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The gateway as shipped on a folder that was filled before, without an engine, with every default but these. */
export function startOn(dataDir: string, settings: Record<string, string> = {}): Promise<ServerProcess> {
  return startServer(START, {
    env: {
      PORT: '0',
      DATA_DIR: dataDir,
      LOG_LEVEL: 'error',
      COMFYUI_URL: NO_ENGINE,
      ENGINE_GRACE: '24h',
      ...settings,
    },
  });
}
