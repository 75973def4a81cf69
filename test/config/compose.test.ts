import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { describeSettings } from '../../src/config/describe.ts';
import { fileVariableOf } from '../../src/config/files.ts';
import { settings } from '../../src/config/settings.ts';
import { readConfig } from '../../src/config.ts';

const text = readFileSync(new URL('../../compose.yaml', import.meta.url), 'utf8');
const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
const deploy = readFileSync(new URL('../../docs/deploy.md', import.meta.url), 'utf8');

const service = z.object({
  env_file: z.string().optional(),
  environment: z.record(z.string(), z.string()).optional(),
  command: z.union([z.string(), z.array(z.string())]).optional(),
  restart: z.string(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
  secrets: z.array(z.string()).optional(),
});
const file = z.object({
  services: z.record(z.string(), service),
  secrets: z.record(z.string(), z.object({ file: z.string() })).optional(),
});

const read = (yaml: string) => file.parse(parse(yaml, { merge: true }));
const { services } = read(text);
const gateways = Object.entries(services).filter(([name]) => name.startsWith('gateway-'));
const names = Object.keys(settings);

/** What a container of a service gets from a file `.env`, as compose merges it. */
function environmentOf({ environment = {} }: z.infer<typeof service>, dotenv: Record<string, string>) {
  const fixed = Object.entries(environment).map(([name, value]) => {
    const [, variable = '', fallback = ''] = /^\$\{(\w+):-(.*)\}$/.exec(value) ?? [];
    return [name, variable === '' ? value : (dotenv[variable] ?? fallback)] as const;
  });
  return { ...dotenv, ...Object.fromEntries(fixed) };
}

describe('compose.yaml', () => {
  it('passes every setting of .env to every gateway but HOST, PORT and DATA_DIR, which docs/deploy.md says', () => {
    expect(gateways).toHaveLength(2);
    for (const [name, gateway] of gateways) {
      expect(gateway.env_file, name).toBe('.env');
      const given = Object.fromEntries(names.map(setting => [setting, `from .env: ${setting}`]));
      const got = environmentOf(gateway, given);
      const dropped = names.filter(setting => got[setting] !== given[setting]);
      expect(dropped, name).toEqual(['PORT', 'HOST', 'DATA_DIR']);
    }
    expect(deploy).toContain('except `HOST`, `PORT` and `DATA_DIR`');
  });

  it('passes files with secrets, too', () => {
    const variables = names.flatMap(name => fileVariableOf(name, names) ?? []);
    expect(variables).toContain('API_KEYS_FILE');
    for (const [, { environment = {} }] of gateways) {
      expect(variables.filter(name => name in environment)).toEqual([]);
    }
  });

  it('starts no gateway before the settings were found valid, so that exit code 78 cannot repeat', () => {
    const { settings: check } = services;
    expect(check).toMatchObject({ restart: 'no', command: ['node', 'bin/qwen-edit.js', 'serve', '--check'] });
    for (const [name, gateway] of gateways) {
      const { condition } = gateway.depends_on?.settings ?? {};
      expect(condition, name).toBe('service_completed_successfully');
      // What was checked is what the gateway gets.
      expect([gateway.env_file, gateway.environment]).toEqual([check?.env_file, check?.environment]);
    }
  });

  it('is valid with the settings of its first lines', () => {
    const lines = text.split('\n').filter(line => /^# {3}[A-Z_]+=/.test(line));
    const example = parseEnv(lines.map(line => line.slice(4).replace(/\s{2,}.*$/, '')).join('\n'));
    expect(Object.keys(example).toSorted()).toEqual(['API_KEYS', 'COMFYUI_URL']);
    const keys = describeSettings()
      .flatMap(({ settings }) => settings)
      .find(({ name }) => name === 'API_KEYS');
    const dotenv = { COMFYUI_URL: example.COMFYUI_URL ?? '', API_KEYS: keys?.example ?? '' };
    for (const [, gateway] of gateways) {
      expect(readConfig({ NODE_ENV: 'production', ...environmentOf(gateway, dotenv) })).toMatchObject({
        ok: true,
      });
    }
  });

  it('has an example of secrets that is complete once it is uncommented', () => {
    const uncommented = text.replace(/^( *)# (?=\w+_FILE: |secrets:| {2}\w+: \{ file)/gm, '$1');
    const { services: withSecrets, secrets = {} } = read(uncommented);
    const { environment = {}, secrets: used = [] } = withSecrets['gateway-1'] ?? {};
    const files = Object.entries(environment).filter(([name]) => name.endsWith('_FILE'));
    expect(files.map(([name]) => name)).toEqual(['API_KEYS_FILE', 'WEBHOOK_SECRET_FILE']);
    expect(files.map(([, path]) => path)).toEqual(used.map(name => `/run/secrets/${name}`));
    expect(Object.keys(secrets)).toEqual(used);
    for (const [name] of files) expect(names).toContain(name.replace(/_FILE$/, ''));
  });
});

describe('Dockerfile', () => {
  it('presets only settings that the gateway has', () => {
    const [, line = ''] = /^ENV (.+)$/m.exec(dockerfile) ?? [];
    const preset = line.split(' ').map(part => part.split('=')[0] ?? '');
    expect(preset.length).toBeGreaterThan(0);
    for (const name of preset) expect(names).toContain(name);
  });
});
