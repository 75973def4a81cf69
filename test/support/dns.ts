import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Numbers of record types (RFC 1035, 3.2.2; RFC 2782). */
const A = 1;
const SRV = 33;
const NXDOMAIN = 3;
const SERVFAIL = 2;

/** The records of a name. */
export interface Records {
  readonly ipv4?: readonly string[];
  readonly services?: readonly { readonly name: string; readonly port: number }[];
  /** The server fails. */
  readonly broken?: boolean;
}

/** A name server on loopback for the names that a test sets. */
export interface TestDns {
  /** For `dns.setServers`. */
  readonly address: string;
  set(name: string, records: Records): void;
  stop(): Promise<void>;
}

/** Starts a name server, which has no names yet. */
export async function startDns(): Promise<TestDns> {
  const names = new Map<string, Records>();
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => socket.send(answer(query, names), peer.port, peer.address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    set: (name, records) => names.set(name, records),
    async stop() {
      socket.close();
      await once(socket, 'close');
    },
  };
}

/** A response with the records of the type that is asked for (RFC 1035, 4). */
function answer(query: Buffer, names: ReadonlyMap<string, Records>): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(12, at + 5);
  const records = names.get(labels.join('.').toLowerCase());
  const found = records === undefined ? [] : dataOf(type, records);
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  const code = records === undefined ? NXDOMAIN : records.broken === true ? SERVFAIL : 0;
  header.writeUInt16BE(0x8180 | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(found.length, 6);
  const answers = found.map(data => {
    const head = Buffer.alloc(12);
    // The name of the question.
    head.writeUInt16BE(0xc00c, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(data.length, 10);
    return Buffer.concat([head, data]);
  });
  return Buffer.concat([header, question, ...answers]);
}

function dataOf(type: number, { ipv4 = [], services = [], broken }: Records): Buffer[] {
  if (broken === true) return [];
  if (type === A) return ipv4.map(address => Buffer.from(address.split('.').map(Number)));
  if (type !== SRV) return [];
  return services.map(({ name, port }) => {
    const numbers = Buffer.alloc(6);
    numbers.writeUInt16BE(port, 4);
    const labels = name.split('.').map(label => Buffer.from(`${String.fromCharCode(label.length)}${label}`));
    return Buffer.concat([numbers, ...labels, Buffer.alloc(1)]);
  });
}
