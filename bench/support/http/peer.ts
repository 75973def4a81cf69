import { createServer } from 'node:http';
import { fastify } from 'fastify';
import { DateTimeResolver } from 'graphql-scalars';
import { createSchema, createYoga } from 'graphql-yoga';
import { mercurius } from 'mercurius';
import { type FindJob, jobsInMemory, jobsInSqlite, PEER_TYPES, peerResolvers } from './peer-schema.ts';

/**
 * A peer in its own process: `node peer.ts <kind> <ledger file>`. Prints the URL of its GraphQL endpoint when it listens, and
 * serves until it is killed.
 */
const [kind = '', ledger = ''] = process.argv.slice(2);

async function start(): Promise<string> {
  switch (kind) {
    case 'plain':
      return startPlain();
    case 'mercurius':
      return startMercurius(jobsInSqlite(ledger), 0);
    case 'mercurius-jit':
      return startMercurius(jobsInSqlite(ledger), 1);
    case 'mercurius-jit-memory':
      return startMercurius(await jobsInMemory(ledger), 1);
    case 'yoga':
      return startYoga(jobsInSqlite(ledger));
    default:
      throw new Error(`no peer ${kind}`);
  }
}

/** Reads the body and answers a constant of the usual size: what Node's own HTTP and JSON cost here. */
async function startPlain(): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const { variables } = JSON.parse(Buffer.concat(chunks).toString());
      const job = {
        id: variables.id,
        status: 'COMPLETED',
        revision: 9,
        progress: 100,
        stage: null,
        step: 1,
        totalSteps: 1,
        etaSeconds: null,
        createdAt: new Date(),
      };
      const body = JSON.stringify({ data: { job } });
      response
        .writeHead(200, {
          'content-type': 'application/json; charset=utf-8',
          'content-length': Buffer.byteLength(body),
        })
        .end(body);
    });
  });
  return listen(server);
}

/** Fastify with Mercurius; `jit`: from which request on of the same document it is compiled, 0: never. */
async function startMercurius(find: FindJob, jit: number): Promise<string> {
  const app = fastify();
  const resolvers = { ...peerResolvers(find), DateTime: DateTimeResolver };
  await app.register(mercurius, { schema: PEER_TYPES, resolvers, jit });
  return app.listen({ port: 0, host: '127.0.0.1' });
}

/** Yoga on `node:http`, as its own documentation starts it. */
async function startYoga(find: FindJob): Promise<string> {
  const resolvers = { ...peerResolvers(find), DateTime: DateTimeResolver };
  const yoga = createYoga({ schema: createSchema({ typeDefs: PEER_TYPES, resolvers }), logging: 'warn' });
  return listen(createServer(yoga));
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

console.log(`${await start()}/graphql`);
