import { fork } from 'node:child_process';
import { ask } from '../ipc.ts';
import type { GetOrder, GetResult } from './get-load.ts';

/** Has a process of its own send requests for a while. Rejects when one of them failed. */
export async function getMany(order: GetOrder): Promise<GetResult> {
  const child = fork(new URL('get-load.ts', import.meta.url));
  try {
    const { got } = await ask<{ got: GetResult }>(child, { get: order }, 'got');
    if (got.failed > 0) throw new Error(`${got.failed} requests of ${order.url} failed`);
    return got;
  } finally {
    child.kill();
  }
}
