import { randomUUID } from 'node:crypto';
import { access, constants } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { S3Location } from '../adapters/artifacts-location.ts';
import { createFileArtifacts } from '../adapters/files/artifacts.ts';
import type { Config } from '../config.ts';
import { awsCredentials } from '../gateway/store.ts';
import type { Artifacts } from '../jobs/image-stores.ts';
import { type Check, reasonOf, reporter } from './check.ts';
import { fileFault, nearestFolder } from './store.ts';

/** Checks that an image can be stored, read and removed, with one of a few bytes. */
export function checkImages(config: Config): Promise<Check[]> {
  const location = config.ARTIFACTS_URL;
  if (location?.kind === 's3') return checkBucket(config, location);
  return checkFolder(config, location?.root ?? join(resolve(config.DATA_DIR), 'artifacts'));
}

async function checkFolder(config: Config, root: string): Promise<Check[]> {
  const report = reporter('images', root);
  try {
    const place = await nearestFolder(root);
    await access(place, constants.W_OK);
    if (place !== root) return [report.ok(`does not exist yet, and can be created in ${place}`)];
    const fault = await tryOne(createFileArtifacts(root));
    if (fault === null) return [report.ok('files can be written, read and removed')];
    return [report.wrong(fault, 'see whether another program changes the folder')];
  } catch (error) {
    return [fileFault('images', root, error, config)];
  }
}

async function checkBucket(config: Config, location: S3Location): Promise<Check[]> {
  const { bucket, prefix, endpoint } = location;
  const where = endpoint === null ? '' : ` at ${new URL(endpoint).host}`;
  const report = reporter('images', `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}${where}`);
  try {
    const { openS3Artifacts } = await import('../adapters/s3/artifacts.ts');
    const { artifacts, close } = await openS3Artifacts(location, {
      signedUrls: false,
      credentials: awsCredentials(config),
    });
    try {
      const fault = await tryOne(artifacts);
      if (fault === null) return [report.ok('objects can be written, read and removed')];
      return [report.wrong(fault, 'see whether a rule of the bucket changes its objects')];
    } finally {
      await close();
    }
  } catch (error) {
    const reason = reasonOf(error).replace(/^ARTIFACTS_URL: (bucket \S+ at \S+: )?/, '');
    return [report.wrong(reason, bucketFix(reason))];
  }
}

/** What went wrong with an image of a few bytes; null if nothing did. Rejects with the store's error. */
async function tryOne(artifacts: Artifacts): Promise<string | null> {
  const key = `doctor/${randomUUID()}`;
  const bytes = Buffer.from(key);
  await artifacts.put(key, bytes);
  const stored = await artifacts.get(key);
  const same = stored !== null && bytes.equals(await buffer(stored));
  await artifacts.remove(key);
  if (!same) return 'what was read is not what was written';
  return (await artifacts.size(key)) === null ? null : `${key} was not removed`;
}

function bucketFix(reason: string): string {
  const [command] = /npm (ci|install) .*/.exec(reason) ?? [];
  if (command !== undefined) return command;
  if (/NoSuchBucket/.test(reason)) return 'create the bucket, or correct ARTIFACTS_URL';
  if (/RequestTimeTooSkewed/.test(reason)) return 'set the clock of this machine: timedatectl set-ntp true';
  if (/credentials|InvalidAccessKeyId|SignatureDoesNotMatch/i.test(reason)) {
    return 'correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  }
  if (/AccessDenied|Forbidden/.test(reason)) {
    return 'allow s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects';
  }
  return 'start the service, or correct ARTIFACTS_URL';
}
