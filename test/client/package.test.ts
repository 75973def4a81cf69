import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What a program prints; rejects with it when it fails. */
async function run(words: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [...words], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  if (code !== 0) throw new Error(`ended with ${code}: ${output}`);
  return output;
}

describe('the package’s client', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.close());

  it('is built, imported by its name, and leaves nothing that keeps a program alive', async () => {
    await run(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json']);
    const program = `
      import { createClient } from 'qwen-edit-gateway/client';
      const client = createClient({ url: '${rig.url}' });
      const edit = await client.edit({ images: ['${rig.pictures}/red.png'], prompt: 'x', steps: 2, megapixels: 0.25 });
      if (edit.__typename !== 'Job') throw new Error(edit.message);
      console.log((await client.wait(edit.id)).status);`;
    expect(await run(['--input-type=module', '--eval', program])).toBe('COMPLETED\n');
  });
});
