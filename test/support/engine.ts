import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/server.ts';

/** What an engine did, by its own account. */
export interface EngineStats {
  executed: Record<string, number>;
  completed: Record<string, number>;
  interrupted: Record<string, number>;
  frees: number;
  uploads: number;
  prompts: number;
  running: string | null;
  pending: string[];
  timeline: { id: string; startedAt: number; endedAt: number | null }[];
}

/** An engine whose faults a test can switch on. */
export interface TestEngine extends Sandbox {
  fault(faults: Record<string, unknown>): Promise<void>;
  stats(): Promise<EngineStats>;
}

export async function startTestEngine(options: SandboxOptions = {}): Promise<TestEngine> {
  const sandbox = await startSandbox({ stepMs: 10, control: true, ...options });
  return {
    ...sandbox,
    async fault(faults) {
      const answer = await fetch(`${sandbox.url}/sandbox/faults`, {
        method: 'POST',
        body: JSON.stringify(faults),
      });
      if (!answer.ok) throw new Error(`fault refused: ${await answer.text()}`);
    },
    async stats() {
      return (await fetch(`${sandbox.url}/sandbox/stats`)).json();
    },
  };
}
