import type { Log } from '../../log.ts';
import type { Client } from './client.ts';

/**
 * Warns of settings of Redis under which an accepted job can be lost. Says nothing where Redis does not let us look
 * (`INFO` can be forbidden by its access rules).
 */
export async function adviseOnSettings(client: Client, log: Log): Promise<void> {
  let info: string;
  try {
    info = `${await client.info('persistence')}\n${await client.info('memory')}`;
  } catch (error) {
    log.debug({ error: String(error) }, 'Redis does not tell its settings');
    return;
  }
  const setting = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  if (setting('aof_enabled') === '0') {
    log.warn(
      {},
      'Redis keeps no append-only file: accepted jobs are lost when it restarts (set appendonly yes)',
    );
  }
  const policy = setting('maxmemory_policy');
  if (setting('maxmemory') !== '0' && policy !== '' && policy !== 'noeviction') {
    log.warn({ policy }, 'Redis throws data away when it is full: set maxmemory-policy noeviction');
  }
}
