import { randomBytes } from 'node:crypto';
import { SECRET_BYTES, type Secrets } from '../../jobs/ports.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { reach } from './replies.ts';

/** The secrets, in one hash. The first gateway makes each. */
export function createRedisSecrets(client: Client, keys: Keys): Secrets {
  return {
    async read(name) {
      await reach(client.hsetnx(keys.secrets, name, randomBytes(SECRET_BYTES).toString('base64url')));
      const value = await reach(client.hget(keys.secrets, name));
      if (value === null) throw new Error(`Redis has no secret ${name}`);
      return Buffer.from(value, 'base64url');
    },
  };
}
