/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
export type EditImageInput = {
  /** 1.0 to 20.0. Left out: the workflow’s own, 4.0 for the standard one. */
  cfg?: number | null | undefined;
  /** Same key and input: the same job, however often it is sent. Other input: an error. */
  idempotencyKey?: string | null | undefined;
  /** 1 to 3 pictures, in the order that the prompt speaks of ("image 1" …). */
  images: Array<ImageSource>;
  /** Size of the result, of 1024 × 1024 pixels, in the shape of image 1. Left out: 1.0. */
  megapixels?: number | null | undefined;
  /** What to avoid. Without effect at cfg 1. */
  negativePrompt?: string | null | undefined;
  /** What else the workflow takes: see `workflows`. */
  parameters?: unknown;
  priority?: JobPriority | null | undefined;
  /** What to change. */
  prompt: string;
  /** Same seed and input, same picture. Chosen when left out. */
  seed?: string | number | null | undefined;
  /** 1 to 100. Left out: the workflow’s own, 40 for the standard one. */
  steps?: number | null | undefined;
  /** Taken only where the operator has set WEBHOOK_SECRET. */
  webhook?: WebhookInput | null | undefined;
  /** Left out: the first that an engine can run. */
  workflow?: string | null | undefined;
};

/** Every way in which a request or a job can fail. */
export type ErrorCode =
  | 'CANCELED'
  | 'ENGINE_LOST'
  | 'EXECUTION_FAILED'
  | 'EXPIRED'
  | 'INPUT_BLOCKED'
  | 'INPUT_NOT_AN_IMAGE'
  | 'INPUT_TOO_LARGE'
  | 'INPUT_UNREACHABLE'
  | 'INTERNAL'
  | 'INVALID_INPUT'
  | 'MODEL_MISSING'
  | 'NODE_MISSING'
  | 'OUTPUT_MISSING'
  | 'OUT_OF_MEMORY'
  | 'QUEUE_FULL'
  | 'RATE_LIMITED'
  | 'TIMED_OUT'
  | 'UNAUTHORIZED'
  | 'WORKFLOW_INVALID';

/** Where a picture comes from: exactly one of these. */
export type ImageSource =
  {   /** `data:image/png;base64,…` */
  dataUri: string; jobId?: never; uploadId?: never; url?: never; }
  |  { dataUri?: never;   /** The picture that an earlier job made, so that edits follow one another. */
  jobId: string | number; uploadId?: never; url?: never; }
  |  { dataUri?: never; jobId?: never;   /** A picture that was sent ahead by `POST /upload`. */
  uploadId: string | number; url?: never; }
  |  { dataUri?: never; jobId?: never; uploadId?: never;   /** JPEG, PNG or WebP at a public address. */
  url: string; };

export type JobPriority =
  | 'HIGH'
  | 'LOW'
  | 'NORMAL';

export type JobStage =
  /** From latents to pixels. */
  | 'DECODING'
  /** Prompt and pictures are read. */
  | 'ENCODING'
  /** Models go to the GPU. */
  | 'LOADING'
  /** The picture is made, step by step. */
  | 'SAMPLING'
  /** The file is written. */
  | 'SAVING';

export type JobStatus =
  /** Somebody stopped it. */
  | 'CANCELED'
  /** The pictures are ready. */
  | 'COMPLETED'
  /** Failed; `error` says why. */
  | 'ERROR'
  /** The engine executes it. */
  | 'PROCESSING'
  /** Waits to start. */
  | 'QUEUED';

/** What a webhook can be told of. */
export type WebhookEvent =
  /** Somebody stopped it. */
  | 'CANCELED'
  /** The pictures are ready. */
  | 'COMPLETED'
  /** The job failed. */
  | 'ERROR'
  /** A run began; again when an engine was lost. */
  | 'STARTED';

/** Whom to tell of a job: a signed POST for each event, by Standard Webhooks. */
export type WebhookInput = {
  /** At least one. */
  events?: Array<WebhookEvent> | null | undefined;
  url: string;
};

type Fault_ImageRejected_Fragment = { code: ErrorCode, message: string, retryable: boolean };

type Fault_InvalidInput_Fragment = { code: ErrorCode, message: string, retryable: boolean };

type Fault_JobNotFinal_Fragment = { code: ErrorCode, message: string, retryable: boolean };

type Fault_JobNotFound_Fragment = { code: ErrorCode, message: string, retryable: boolean };

type Fault_QueueFull_Fragment = { code: ErrorCode, message: string, retryable: boolean };

export type FaultFragment =
  | Fault_ImageRejected_Fragment
  | Fault_InvalidInput_Fragment
  | Fault_JobNotFinal_Fragment
  | Fault_JobNotFound_Fragment
  | Fault_QueueFull_Fragment
;

export type EditImageMutationVariables = Exact<{
  input: EditImageInput;
}>;


export type EditImageMutation = { editImage:
    | { __typename: 'ImageRejected', field: string | null, code: ErrorCode, message: string, retryable: boolean }
    | { __typename: 'InvalidInput', field: string | null, code: ErrorCode, message: string, retryable: boolean }
    | { __typename: 'Job', id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null }
    | { __typename: 'QueueFull', retryAfterSeconds: number, code: ErrorCode, message: string, retryable: boolean }
   };

export type CancelJobMutationVariables = Exact<{
  id: string | number;
}>;


export type CancelJobMutation = { cancelJob:
    | { __typename: 'Job', id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null }
    | { __typename: 'JobNotFound', code: ErrorCode, message: string, retryable: boolean }
   };

export type DeleteJobMutationVariables = Exact<{
  id: string | number;
}>;


export type DeleteJobMutation = { deleteJob:
    | { __typename: 'DeletedJob', id: string }
    | { __typename: 'JobNotFound', code: ErrorCode, message: string, retryable: boolean }
   };

export type RetryJobMutationVariables = Exact<{
  id: string | number;
}>;


export type RetryJobMutation = { retryJob:
    | { __typename: 'ImageRejected', field: string | null, code: ErrorCode, message: string, retryable: boolean }
    | { __typename: 'InvalidInput', field: string | null, code: ErrorCode, message: string, retryable: boolean }
    | { __typename: 'Job', id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null }
    | { __typename: 'JobNotFinal', code: ErrorCode, message: string, retryable: boolean, job: { id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null } }
    | { __typename: 'JobNotFound', code: ErrorCode, message: string, retryable: boolean }
    | { __typename: 'QueueFull', retryAfterSeconds: number, code: ErrorCode, message: string, retryable: boolean }
   };

export type JobSnapshotFragment = { id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null };

export type JobQueryVariables = Exact<{
  id: string | number;
}>;


export type JobQuery = { job: { id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null } | null };

export type JobsQueryVariables = Exact<{
  first?: number | null | undefined;
  after?: string | null | undefined;
  status?: Array<JobStatus> | JobStatus | null | undefined;
}>;


export type JobsQuery = { jobs: { nodes: Array<{ id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type JobProgressSubscriptionVariables = Exact<{
  jobId: string | number;
}>;


export type JobProgressSubscription = { jobProgress: { id: string, status: JobStatus, revision: number, progress: number, stage: JobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, size: { width: number, height: number } | null, preview: { url: string, mimeType: string, width: number, height: number } | null, images: Array<{ url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: ErrorCode, message: string, retryable: boolean, node: string | null } | null } };

import type { Operation } from '../operation.ts';

export const EditImageDocument: Operation<EditImageMutation, EditImageMutationVariables> = {
  name: 'EditImage',
  text: `mutation EditImage($input: EditImageInput!) {
  editImage(input: $input) {
    __typename
    ... on Job {
      ...JobSnapshot
    }
    ...Fault
    ... on InvalidInput {
      field
    }
    ... on ImageRejected {
      field
    }
    ... on QueueFull {
      retryAfterSeconds
    }
  }
}

fragment Fault on Error {
  code
  message
  retryable
}

fragment JobSnapshot on Job {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  etaSeconds
  attempt
  engine
  size {
    width
    height
  }
  preview {
    url
    mimeType
    width
    height
  }
  images {
    url
    width
    height
    mimeType
    bytes
    filename
  }
  error {
    code
    message
    retryable
    node
  }
  createdAt
  startedAt
  finishedAt
  expiresAt
}`,
};

export const CancelJobDocument: Operation<CancelJobMutation, CancelJobMutationVariables> = {
  name: 'CancelJob',
  text: `mutation CancelJob($id: ID!) {
  cancelJob(id: $id) {
    __typename
    ... on Job {
      ...JobSnapshot
    }
    ...Fault
  }
}

fragment Fault on Error {
  code
  message
  retryable
}

fragment JobSnapshot on Job {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  etaSeconds
  attempt
  engine
  size {
    width
    height
  }
  preview {
    url
    mimeType
    width
    height
  }
  images {
    url
    width
    height
    mimeType
    bytes
    filename
  }
  error {
    code
    message
    retryable
    node
  }
  createdAt
  startedAt
  finishedAt
  expiresAt
}`,
};

export const DeleteJobDocument: Operation<DeleteJobMutation, DeleteJobMutationVariables> = {
  name: 'DeleteJob',
  text: `mutation DeleteJob($id: ID!) {
  deleteJob(id: $id) {
    __typename
    ... on DeletedJob {
      id
    }
    ...Fault
  }
}

fragment Fault on Error {
  code
  message
  retryable
}`,
};

export const RetryJobDocument: Operation<RetryJobMutation, RetryJobMutationVariables> = {
  name: 'RetryJob',
  text: `mutation RetryJob($id: ID!) {
  retryJob(id: $id) {
    __typename
    ... on Job {
      ...JobSnapshot
    }
    ...Fault
    ... on InvalidInput {
      field
    }
    ... on ImageRejected {
      field
    }
    ... on QueueFull {
      retryAfterSeconds
    }
    ... on JobNotFinal {
      job {
        ...JobSnapshot
      }
    }
  }
}

fragment Fault on Error {
  code
  message
  retryable
}

fragment JobSnapshot on Job {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  etaSeconds
  attempt
  engine
  size {
    width
    height
  }
  preview {
    url
    mimeType
    width
    height
  }
  images {
    url
    width
    height
    mimeType
    bytes
    filename
  }
  error {
    code
    message
    retryable
    node
  }
  createdAt
  startedAt
  finishedAt
  expiresAt
}`,
};

export const JobDocument: Operation<JobQuery, JobQueryVariables> = {
  name: 'Job',
  text: `query Job($id: ID!) {
  job(id: $id) {
    ...JobSnapshot
  }
}

fragment JobSnapshot on Job {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  etaSeconds
  attempt
  engine
  size {
    width
    height
  }
  preview {
    url
    mimeType
    width
    height
  }
  images {
    url
    width
    height
    mimeType
    bytes
    filename
  }
  error {
    code
    message
    retryable
    node
  }
  createdAt
  startedAt
  finishedAt
  expiresAt
}`,
};

export const JobsDocument: Operation<JobsQuery, JobsQueryVariables> = {
  name: 'Jobs',
  text: `query Jobs($first: Int, $after: String, $status: [JobStatus!]) {
  jobs(first: $first, after: $after, status: $status) {
    nodes {
      ...JobSnapshot
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}

fragment JobSnapshot on Job {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  etaSeconds
  attempt
  engine
  size {
    width
    height
  }
  preview {
    url
    mimeType
    width
    height
  }
  images {
    url
    width
    height
    mimeType
    bytes
    filename
  }
  error {
    code
    message
    retryable
    node
  }
  createdAt
  startedAt
  finishedAt
  expiresAt
}`,
};

export const JobProgressDocument: Operation<JobProgressSubscription, JobProgressSubscriptionVariables> = {
  name: 'JobProgress',
  text: `subscription JobProgress($jobId: ID!) {
  jobProgress(jobId: $jobId) {
    ...JobSnapshot
  }
}

fragment JobSnapshot on Job {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  etaSeconds
  attempt
  engine
  size {
    width
    height
  }
  preview {
    url
    mimeType
    width
    height
  }
  images {
    url
    width
    height
    mimeType
    bytes
    filename
  }
  error {
    code
    message
    retryable
    node
  }
  createdAt
  startedAt
  finishedAt
  expiresAt
}`,
};
