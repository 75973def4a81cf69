import { DatabaseSync } from 'node:sqlite';

/** A job as the ledger keeps it; a peer's resolvers need no more than this of its form. */
interface PeerJob {
  readonly createdAt: number;
}

/** How a peer finds a job. */
export type FindJob = (id: string) => Promise<PeerJob | null>;

/** The types that the measured query meets, as `schema/schema.graphql` has them. */
export const PEER_TYPES = `
  scalar DateTime
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
    createdAt: DateTime!
  }
  type Query { job(id: ID!): EditJob }
`;

/** The resolvers over it. */
export function peerResolvers(find: FindJob) {
  return {
    Query: { job: (_root: unknown, { id }: { id: string }) => find(id) },
    EditJob: { createdAt: (job: PeerJob) => new Date(job.createdAt) },
  };
}

/**
 * Reads a copy of the gateway's ledger by the same statement and decoding as `src/adapters/embedded/ledger.ts`, holding
 * the file alone as that does, which saves locking it for each read.
 */
export function jobsInSqlite(path: string): FindJob {
  const db = new DatabaseSync(path);
  db.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT;');
  const statement = db.prepare('SELECT request, state FROM jobs WHERE id = ?');
  return async id => {
    const row = statement.get(id);
    if (row === undefined) return null;
    return { ...JSON.parse(String(row.state)), request: JSON.parse(String(row.request)) };
  };
}

/** The same from a map that is filled at the start: what the read costs is the difference. */
export async function jobsInMemory(path: string): Promise<FindJob> {
  const db = new DatabaseSync(path);
  const ids = db.prepare('SELECT id FROM jobs').all();
  db.close();
  const find = jobsInSqlite(path);
  const jobs = new Map<string, PeerJob | null>();
  for (const { id } of ids) jobs.set(String(id), await find(String(id)));
  return async id => jobs.get(id) ?? null;
}
