import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { settings } from '../../src/config/settings.ts';
import { BAD_CONFIG } from '../../src/serve.ts';
import { lookFor } from '../support/stores/install.ts';

const run = promisify(execFile);
const unit = readFileSync(new URL('../../deploy/systemd/qwen-edit.service', import.meta.url), 'utf8');
const analyze = await lookFor(['systemd-analyze']);

describe('qwen-edit.service', () => {
  it('sets settings that exist, and is not restarted over an invalid one', () => {
    const environment = [...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = '']) =>
      line.split(' '),
    );
    const names = environment.map(entry => entry.split('=')[0] ?? '');
    expect(names).toContain('DATA_DIR');
    expect(names.filter(name => !(name in settings) && name !== 'NODE_COMPILE_CACHE')).toEqual([]);
    expect(unit).toContain(`\nRestartPreventExitStatus=${BAD_CONFIG}\n`);
  });

  it.skipIf(analyze === null)('is valid for systemd', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'unit-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'qwen-edit.service');
    // It also looks for the program, which is elsewhere here.
    await writeFile(file, unit.replace('/usr/bin/node', process.execPath));
    const { stdout, stderr } = await run(analyze ?? '', ['verify', '--man=no', file]);
    expect(stdout + stderr).not.toContain('qwen-edit.service');
  });
});
