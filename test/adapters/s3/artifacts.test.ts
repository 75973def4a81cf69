import { execFile } from 'node:child_process';
import { cp, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openArtifacts } from '../../../src/adapters/artifacts.ts';
import { parseArtifactsUrl } from '../../../src/adapters/artifacts-location.ts';
import { loadS3Packages } from '../../../src/adapters/s3/client.ts';
import { recordLog } from '../../support/log.ts';
import { freePort } from '../../support/servers.ts';
import { startS3, type TestS3 } from '../../support/stores/s3.ts';
import { artifactsContract } from '../contract/artifacts-contract.ts';

let s3: TestS3;
beforeAll(async () => {
  s3 = await startS3();
});
afterAll(() => s3?.stop());
beforeEach(() => {
  for (const [name, value] of Object.entries(s3.environment)) vi.stubEnv(name, value);
});
afterEach(() => vi.unstubAllEnvs());

async function open(url: string, signedUrls = false) {
  const parsed = parseArtifactsUrl(url);
  if (!parsed.ok) throw new Error(parsed.fault);
  return openArtifacts({ location: parsed.value, signedUrls, now: Date.now, log: recordLog() });
}

artifactsContract('S3', () => open(s3.url()));

describe('S3', () => {
  it('leaves no part of a failed upload behind', async () => {
    const { artifacts, close } = await open(s3.url());
    const source = Readable.from(
      (function* () {
        for (let yielded = 0; yielded < 12; yielded += 1) yield Buffer.alloc(1024 * 1024);
        throw new Error('The source broke');
      })(),
    );
    await expect(artifacts.put('a', source)).rejects.toThrow('The source broke');
    await close();
    const { ListMultipartUploadsCommand, S3Client } = (await loadS3Packages()).client;
    const client = new S3Client({ endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true });
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: s3.bucket }));
    expect(Uploads).toEqual([]);
    client.destroy();
  });

  it('keeps two prefixes of one bucket apart', async () => {
    const first = await open(s3.url());
    const second = await open(s3.url());
    await first.artifacts.put('a', Buffer.from('x'));
    expect(await second.artifacts.list('')).toEqual([]);
    expect(await second.artifacts.size('a')).toBeNull();
    await first.close();
    await second.close();
  });

  it('signs URLs that expire, are valid for one object, and set its type and name', async () => {
    const { artifacts, close } = await open(s3.url(), true);
    await artifacts.put('outputs/1/1.png', Buffer.from('0123456789'));
    const options = { expiresSeconds: 300, mimeType: 'image/png', filename: 'edited_1.png' } as const;
    const url = await artifacts.signedUrl?.('outputs/1/1.png', options);
    if (url === undefined || url === null) throw new Error('No URL');
    await close();
    expect(url).not.toContain(s3.environment.AWS_SECRET_ACCESS_KEY);
    expect(new URL(url).searchParams.get('X-Amz-Expires')).toBe('300');

    const whole = await fetch(url);
    expect(whole.status).toBe(200);
    expect(whole.headers.get('content-type')).toBe('image/png');
    expect(whole.headers.get('content-disposition')).toBe('inline; filename="edited_1.png"');
    expect(await whole.text()).toBe('0123456789');
    const part = await fetch(url, { headers: { range: 'bytes=2-4' } });
    expect([part.status, await part.text()]).toEqual([206, '234']);

    const other = await fetch(url.replace('/1.png', '/2.png'));
    expect(other.status).toBe(403);
    const longer = await fetch(url.replace('X-Amz-Expires=300', 'X-Amz-Expires=3000'));
    expect(longer.status).toBe(403);
    await Promise.all([other.text(), longer.text()]);
  });

  it('signs URLs for the public endpoint', async () => {
    const { artifacts, close } = await open(`${s3.url()}&publicEndpoint=https://files.example`, true);
    const url = await artifacts.signedUrl?.('a', {
      expiresSeconds: 300,
      mimeType: 'image/png',
      filename: 'a.png',
    });
    expect(url).toMatch(/^https:\/\/files\.example\//);
    await close();
  });

  it('signs no URLs by default', async () => {
    const { artifacts, close } = await open(s3.url());
    expect(artifacts.signedUrl).toBeUndefined();
    await close();
  });

  it('reports a missing bucket at the start', async () => {
    const url = s3.url().replace(s3.bucket, 'another-bucket');
    await expect(open(url)).rejects.toThrow(/^ARTIFACTS_URL: bucket another-bucket at .*NoSuchBucket/);
  });

  it('reports wrong keys at the start, without the secret', async () => {
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'not-the-secret');
    const error = await open(s3.url()).catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/ARTIFACTS_URL: bucket .*SignatureDoesNotMatch/);
    expect(String(error)).not.toContain('not-the-secret');
  });

  it('reports missing keys at the start', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nonexistent');
    vi.stubEnv('AWS_CONFIG_FILE', '/nonexistent');
    await expect(open(s3.url())).rejects.toThrow('no credentials: set AWS_ACCESS_KEY_ID');
  });

  it('reports an unreachable service at the start', async () => {
    const url = `s3://bucket?endpoint=http://127.0.0.1:${await freePort()}`;
    await expect(open(url)).rejects.toThrow(
      /^ARTIFACTS_URL: bucket bucket at 127\.0\.0\.1:\d+: .*ECONNREFUSED/,
    );
  });

  it('reports which packages to install when they are missing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'no-packages-'));
    for (const part of ['adapters', 'jobs']) {
      const from = fileURLToPath(new URL(`../../../src/${part}`, import.meta.url));
      await cp(from, join(folder, part), { recursive: true, filter: path => !path.includes('node_modules') });
    }
    const script = `
      import { openArtifacts } from './adapters/artifacts.ts';
      import { parseArtifactsUrl } from './adapters/artifacts-location.ts';
      const location = url => parseArtifactsUrl(url).value;
      const files = await openArtifacts({ location: location('file:///nowhere'), signedUrls: false });
      await files.close();
      await openArtifacts({ location: location('s3://bucket'), signedUrls: false });`;
    const args = ['--input-type=module', '--eval', script];
    const failed = await promisify(execFile)(process.execPath, args, { cwd: folder }).catch(String);
    expect(failed).toContain(`not installed: npm ci --prefix ${await realpath(folder)}/adapters/s3/`);
    // The built package has no lock files.
    await rm(join(folder, 'adapters/s3/package-lock.json'));
    expect(await promisify(execFile)(process.execPath, args, { cwd: folder }).catch(String)).toContain(
      'not installed: npm install @aws-sdk/client-s3 @aws-sdk/lib-storage @aws-sdk/s3-request-presigner',
    );
    await rm(folder, { recursive: true });
  });
});
