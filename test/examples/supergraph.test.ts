import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { inherited } from '../support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

it('the supergraph starts with one command, responds, and stops on a signal', async () => {
  const child = spawn(process.execPath, ['examples/supergraph/main.ts'], {
    cwd: ROOT,
    env: { ...inherited(), PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>(resolve => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let output = '';
  const endpoint = await new Promise<string>((resolve, reject) => {
    child.once('close', code => reject(new Error(`ended with ${code}: ${output}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const found = /Supergraph on (\S+)/.exec(output)?.[1];
        if (found !== undefined && output.includes('Ctrl-C')) resolve(found);
      });
    }
  });
  const picture = /url: "([^"]+)"/.exec(output)?.[1];
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      query:
        'mutation ($input: EditImageInput!) { editImage(input: $input) { __typename ... on EditJob { album { id } } } }',
      variables: { input: { images: [{ url: picture }], prompt: 'Make it night', steps: 1 } },
    }),
  });
  expect(await answer.json()).toEqual({ data: { editImage: { __typename: 'EditJob', album: null } } });
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
});
