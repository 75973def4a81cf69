import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.ts';

const locationOf = (url: string) => {
  const result = readConfig({ ARTIFACTS_URL: url });
  return result.ok ? result.config.ARTIFACTS_URL : result.faults;
};

describe('ARTIFACTS_URL', () => {
  it('reads a folder', () => {
    expect(locationOf('file:///var/lib/my%20files')).toEqual({ kind: 'files', root: '/var/lib/my files' });
  });

  it('reads a bucket of AWS', () => {
    expect(locationOf('s3://pictures')).toEqual({
      kind: 's3',
      bucket: 'pictures',
      prefix: '',
      endpoint: null,
      publicEndpoint: null,
      region: null,
      forcePathStyle: false,
    });
  });

  it('reads a bucket of another service, with path style and us-east-1 by default', () => {
    expect(locationOf('s3://pictures/a/b/?endpoint=http://minio:9000')).toMatchObject({
      prefix: 'a/b',
      endpoint: 'http://minio:9000',
      region: 'us-east-1',
      forcePathStyle: true,
    });
    expect(
      locationOf(
        's3://pictures?endpoint=https://s3.example&publicEndpoint=https://files.example&region=garage&forcePathStyle=0',
      ),
    ).toMatchObject({ publicEndpoint: 'https://files.example', region: 'garage', forcePathStyle: false });
  });

  it.each([
    '/var/lib',
    'file://host/var',
    'file:///',
    'file:///a%2fb',
    'http://bucket',
    's3://',
    's3://a',
    's3://my_key:my_secret@bucket',
    's3://bucket/.hidden',
    's3://bucket//x',
    's3://bucket?endpoint=minio',
    's3://bucket?endpoint=http://me:my_secret@minio:9000',
    's3://bucket?endpoint=ftp://minio',
    's3://bucket?accessKeyId=my_key&secretAccessKey=my_secret',
    's3://bucket?forcePathStyle=maybe',
    's3://bucket#my_secret',
  ])('rejects %s with the name of the setting, without a secret', url => {
    const faults = locationOf(url);
    expect(faults).toEqual([expect.stringMatching(/^ARTIFACTS_URL: /)]);
    expect(String(faults)).not.toContain('my_secret');
  });

  it('is unset by default', () => {
    const result = readConfig({});
    expect(result.ok && result.config.ARTIFACTS_URL).toBeUndefined();
  });
});
