import { createServer } from 'node:http';
import type { ExecutionArgs } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { createPubSub, createSchema, createYoga } from 'graphql-yoga';
import { WebSocketServer } from 'ws';
import { type Snapshot, snapshotOf } from './snapshot.ts';
import { obeyTicks } from './ticks.ts';

/**
 * The peer: GraphQL Yoga with graphql-ws and its in-process pub/sub, wired as Yoga's page on subscriptions has it
 * (https://the-guild.dev/graphql/yoga-server/docs/features/subscriptions#graphql-over-websocket-protocol-via-graphql-ws).
 * At each tick the one job changes that everybody watches.
 */
const JOB = '0f7c9b47-3ad5-4a52-b434-d349b3e018a3';
const pubSub = createPubSub<{ job: [id: string, snapshot: Snapshot] }>();
let present = snapshotOf(JOB, 0, 1);

const yoga = createYoga({
  logging: false,
  schema: createSchema({
    typeDefs: `
      enum EditJobStatus { QUEUED PROCESSING COMPLETED ERROR CANCELED }
      enum EditJobStage { LOADING ENCODING SAMPLING DECODING SAVING }
      type EditJob {
        id: ID!
        status: EditJobStatus!
        revision: Int!
        progress: Float!
        stage: EditJobStage
        step: Int
        totalSteps: Int
        etaSeconds: Float
      }
      type Query { job(id: ID!): EditJob }
      type Subscription { jobProgress(jobId: ID!): EditJob! }
    `,
    resolvers: {
      Query: { job: () => present },
      Subscription: {
        jobProgress: {
          async *subscribe(_root: unknown, { jobId }: { jobId: string }) {
            const changes = pubSub.subscribe('job', jobId);
            yield present;
            yield* changes;
          },
          resolve: (job: Snapshot) => job,
        },
      },
    },
  }),
});

const server = createServer(yoga);
const sockets = new WebSocketServer({ server, path: yoga.graphqlEndpoint, perMessageDeflate: false });
const executors = new WeakMap<
  ExecutionArgs,
  Pick<ReturnType<typeof yoga.getEnveloped>, 'execute' | 'subscribe'>
>();
useServer(
  {
    execute: args => executors.get(args)?.execute(args),
    subscribe: args => executors.get(args)?.subscribe(args),
    onSubscribe: async (context, _id, payload) => {
      const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped({
        ...context,
        req: context.extra.request,
        socket: context.extra.socket,
        params: payload,
      });
      const args: ExecutionArgs = {
        schema,
        document: parse(payload.query),
        operationName: payload.operationName ?? null,
        variableValues: payload.variables ?? null,
        contextValue: await contextFactory(),
      };
      executors.set(args, { execute, subscribe });
      const errors = validate(args.schema, args.document);
      return errors.length > 0 ? errors : args;
    },
  },
  sockets,
);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`ws://127.0.0.1:${address.port}/graphql`);
});

obeyTicks((n, { times }) => {
  present = snapshotOf(JOB, n, times);
  pubSub.publish('job', JOB, present);
});
