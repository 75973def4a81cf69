import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import { STEPS } from './tap.ts';

/**
 * In the place of the gateway that runs jobs, without its work: reads the engine's events with `ws`, and for each step stores a
 * record and publishes a message, in one transaction. Both are as long as those of a job. Prints the engine's URL when it listens.
 */
const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: '' },
    redis: { type: 'string', default: '' },
    client: { type: 'string', default: '' },
    channel: { type: 'string', default: '' },
    record: { type: 'string', default: '0' },
    message: { type: 'string', default: '0' },
  },
});
const redis = new Redis(values.redis);
const socket = new WebSocket(`${values.engine.replace('http', 'ws')}/ws?clientId=${values.client}`, {
  perMessageDeflate: false,
});
const record = 'x'.repeat(Number(values.record));
const rest = 'x'.repeat(Number(values.message));
let newest = 0;

socket.on('open', () => {
  // As the gateway does, so that the engine sends the same events in the same order.
  socket.send(JSON.stringify({ type: 'feature_flags', data: { supports_preview_metadata: true } }));
  console.log(values.engine);
});
socket.on('message', (bytes: Buffer, isBinary) => {
  if (isBinary) return;
  const { type, data }: EngineMessage = JSON.parse(bytes.toString());
  if (type === 'execution_start') newest = 0;
  else if (type === 'progress_state') {
    const sampler = Object.values(data.nodes ?? {}).find(({ max }) => max === STEPS);
    if (sampler === undefined || sampler.value <= newest) return;
    newest = sampler.value;
    publish({ step: newest });
  } else if (type === 'executing' && data.node === null) publish({ step: null });
});

/** What is read of ComfyUI's events. */
interface EngineMessage {
  readonly type: string;
  readonly data: {
    readonly node?: string | null;
    readonly nodes?: Readonly<Record<string, { readonly value: number; readonly max: number }>>;
  };
}

function publish(news: { readonly step: number | null }): void {
  redis
    .multi()
    .set(`${values.channel}:record`, record)
    .publish(values.channel, JSON.stringify({ ...news, rest }))
    .exec()
    .catch((error: unknown) => process.send?.({ failed: String(error) }));
}
