import type { RunObserver } from '../dispatch/observer.ts';
import type { ImageLoader } from '../images/loader.ts';
import type { Artifacts } from '../jobs/image-stores.ts';
import type { Ledger, OnJobChange } from '../jobs/ports.ts';
import type { Jobs } from '../jobs/service.ts';
import type { JobTrace, RequestScope } from '../jobs/trace.ts';
import type { Post } from '../webhooks/post.ts';

/** Traces jobs: wraps the parts that they pass through. Without a collector every part stays as it is. */
export interface Tracing {
  /** Each submit and retry is a span; the other parts make their spans within it. */
  jobs(jobs: Jobs): Jobs;
  images(images: ImageLoader): ImageLoader;
  artifacts(artifacts: Artifacts): Artifacts;
  ledger(ledger: Ledger): Ledger;
  runs(observer: RunObserver): RunObserver;
  post(post: Post): Post;
  readonly onChange: OnJobChange;
  /** For `createJobs`; undefined: jobs have the trace of their request. */
  readonly traceOf: ((request: RequestScope) => JobTrace | null) | undefined;
  /** The `traceparent` of a request that is made now; null outside of a span. */
  readonly traceparent: (() => string | null) | undefined;
  stop(): Promise<void>;
}
