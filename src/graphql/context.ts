import type { FleetChanges } from '../dispatch/fleet/changes.ts';
import type { MemberStatus } from '../dispatch/fleet/fleet.ts';
import type { InlineImages } from '../images/inline.ts';
import type { Previews } from '../jobs/image-stores.ts';
import type { ImageUrls } from '../jobs/image-urls.ts';
import type { Caller, Job } from '../jobs/job.ts';
import type { Jobs } from '../jobs/service.ts';
import type { WaitReason } from '../jobs/waiting.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';

/** Services for resolvers. */
export interface Services {
  readonly jobs: Jobs;
  readonly previews: Previews;
  readonly imageUrls: ImageUrls;
  readonly workflows: WorkflowCatalog;
  readonly engines: () => readonly MemberStatus[];
  /** Why a job waits now, in words for this caller; null when it does not. */
  readonly waitingFor: (job: Job, caller: Caller) => Promise<WaitReason | null>;
  /** Adds, drains and removes engines. */
  readonly fleet: FleetChanges;
}

/** The context of one operation: services, and what is known of its caller. */
export interface GraphQLContext extends Services {
  readonly caller: Caller;
  /** The URL under which the caller reached us, without a trailing slash. */
  readonly baseUrl: string;
  /** Aborts when an HTTP client goes away. */
  readonly signal: AbortSignal | undefined;
  /** Names the request in the log. */
  readonly requestId: string;
  /** The caller's `traceparent`, as it was sent. */
  readonly traceparent: unknown;
  /** Images that were decoded while the request arrived. Unset: there are none. */
  readonly images?: InlineImages | undefined;
}
