import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeSettings } from '../../src/config/describe.ts';
import { readConfig } from '../../src/config.ts';
import { makeApiKey } from '../../src/http/access/api-keys.ts';
import { qwenEdit } from '../support/clients/cli.ts';
import { startGatewayProcess } from '../support/gateway.ts';
import { inherited } from '../support/temporary-folder.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'settings-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fileWith(content: string, name = 'secret'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** Runs the gateway with settings that it rejects; resolves with its exit code and standard error. */
async function rejected(environment: Record<string, string>) {
  const child = spawn(process.execPath, ['start.js'], {
    env: { ...inherited(), PORT: '0', DATA_DIR: folder, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<number | null>(resolve => child.once('close', resolve));
  const err = await text(child.stderr);
  return { code: await ended, err };
}

describe('settings from files', () => {
  it('a gateway takes its keys from API_KEYS_FILE', async () => {
    const { key, entry } = makeApiKey('alice', 'user');
    const gateway = await startGatewayProcess(folder, { API_KEYS_FILE: await fileWith(`${entry}\n`) });
    try {
      const statusWith = async (headers: Record<string, string>) =>
        (await fetch(`${gateway.url}/jobs`, { headers })).status;
      expect(await statusWith({})).toBe(401);
      expect(await statusWith({ authorization: `Bearer ${key}` })).toBe(200);
    } finally {
      await gateway.end('SIGTERM');
    }
  });

  it('reports a missing, an empty and a doubled setting by name and path, with exit code 78 and no content', async () => {
    const environment = {
      API_KEYS_FILE: join(folder, 'missing'),
      WEBHOOK_SECRET_FILE: await fileWith('\n', 'empty'),
      REDIS_URL: 'redis://:hunter2@localhost',
      REDIS_URL_FILE: await fileWith('redis://:hunter3@localhost', 'redis'),
      COMFYUI_URL_FILE: await fileWith('nonsense with hunter4', 'comfyui'),
      JWT_ISSUER_FILE: folder,
    };
    const { code, err } = await rejected(environment);
    expect(code).toBe(78);
    expect(err.trim().split('\n').toSorted()).toEqual([
      `API_KEYS_FILE: cannot read ${folder}/missing: there is no such file`,
      `COMFYUI_URL in ${folder}/comfyui: takes http://, https:// or dns+http:// URLs, comma-separated`,
      `JWT_ISSUER_FILE: cannot read ${folder}: it is a folder`,
      'REDIS_URL: set it or REDIS_URL_FILE, not both',
      `WEBHOOK_SECRET_FILE: ${folder}/empty is empty`,
    ]);
  });

  it('says the same in `qwen-edit serve --check`, which starts nothing', async () => {
    const bad = await qwenEdit(['serve', '--check'], { API_KEYS_FILE: join(folder, 'missing') });
    expect(bad).toMatchObject({
      code: 78,
      out: '',
      err: expect.stringContaining('API_KEYS_FILE: cannot read'),
    });
    const good = await qwenEdit(['serve', '--check'], {
      API_KEYS_FILE: '',
      JOB_TTL_FILE: await fileWith('2h'),
      COMFY_URL: 'http://gpu:8188',
    });
    expect(good).toMatchObject({
      code: 0,
      out: 'The settings are valid\n',
      err: 'COMFY_URL is not a setting, did you mean COMFYUI_URL?\n',
    });
  });

  const fileable = describeSettings()
    .flatMap(subject => subject.settings)
    .filter(({ fileVariable }) => fileVariable !== null);
  it.each(fileable)(
    '$name is read from $fileVariable, and never shown when it is wrong',
    async ({ name, fileVariable, example }) => {
      const variable = fileVariable ?? '';
      const fromFile = readConfig({ [variable]: await fileWith(`${example}\n`) });
      // As text, because a parsed allow list is made of functions.
      expect(JSON.stringify(fromFile)).toBe(JSON.stringify(readConfig({ [name]: example })));
      const secret = 'Tr0ub4dor&3 hunter2';
      const result = readConfig({ [variable]: await fileWith(secret) });
      expect(JSON.stringify(result.ok ? [] : result.faults)).not.toContain('hunter2');
    },
  );

  it('has no such variable where a setting of that name is there', async () => {
    // The file is that of the documents, not one with the word `on`.
    const path = await fileWith('{}', 'documents.json');
    expect(readConfig({ PERSISTED_DOCUMENTS: 'on', PERSISTED_DOCUMENTS_FILE: path })).toMatchObject({
      ok: true,
      config: { PERSISTED_DOCUMENTS: 'on', PERSISTED_DOCUMENTS_FILE: path },
    });
  });
});
