import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadS3Packages } from '../../../src/adapters/s3/client.ts';
import { hasS3Server, PYTHON, S3_ADVICE } from './install.ts';

const PROGRAM = fileURLToPath(new URL('s3-server.py', import.meta.url));
const BUCKET = 'artifacts';

/** A real S3 server. */
export interface TestS3 {
  /** An `s3://` URL, as `ARTIFACTS_URL` takes it, of a prefix that no other test uses. */
  url(): string;
  readonly endpoint: string;
  readonly bucket: string;
  /** The AWS credentials that the server accepts, as environment variables. */
  readonly environment: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string };
  stop(): Promise<void>;
}

/** Starts one with an empty bucket, or uses the one that `TEST_S3_URL` names. */
export async function startS3(): Promise<TestS3> {
  const given = process.env.TEST_S3_URL ?? '';
  return given === '' ? startOwn() : useGiven(new URL(given));
}

async function startOwn(): Promise<TestS3> {
  if (!(await hasS3Server())) throw new Error(`These tests need a real S3 server: ${S3_ADVICE}`);
  const folder = await mkdtemp(join(tmpdir(), 's3-'));
  const secret = randomUUID();
  const child = spawn(PYTHON, [PROGRAM, folder, secret], { stdio: ['pipe', 'pipe', 'pipe'] });
  const endpoint = `http://127.0.0.1:${await portOf(child)}`;
  const environment = { AWS_ACCESS_KEY_ID: 'tests:tester', AWS_SECRET_ACCESS_KEY: secret };
  const { CreateBucketCommand, S3Client } = (await loadS3Packages()).client;
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: environment.AWS_ACCESS_KEY_ID, secretAccessKey: secret },
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  client.destroy();
  return {
    url: () => `s3://${BUCKET}/${randomUUID()}?endpoint=${endpoint}`,
    endpoint,
    bucket: BUCKET,
    environment,
    async stop() {
      const exited = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

function useGiven(url: URL): TestS3 {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
  return {
    url: () => `s3://${url.host}/${randomUUID()}${url.search}`,
    endpoint: url.searchParams.get('endpoint') ?? '',
    bucket: url.host,
    environment: { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY },
    stop: async () => {},
  };
}

async function portOf(child: ChildProcess): Promise<number> {
  let output = '';
  return new Promise((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const [, port] = /^port (\d+)$/m.exec(output) ?? [];
      if (port !== undefined) resolve(Number(port));
    };
    child.stdout?.on('data', read);
    // Read to its end, so that a full pipe never stops the server.
    child.stderr?.on('data', read);
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`The S3 server ended with ${code}: ${output}`)));
  });
}
