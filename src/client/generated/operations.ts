/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
export type EditEngineSource =
  /** An address of a name in `COMFYUI_URL`. */
  | 'DNS'
  /** Added by an operator. */
  | 'OPERATOR'
  /** Registered itself. */
  | 'REGISTRATION'
  /** A URL in `COMFYUI_URL`. */
  | 'SETTING';

export type EditEngineState =
  /** Does not respond. */
  | 'DOWN'
  /** Takes no more jobs, set by an operator. */
  | 'DRAINED'
  /** Takes no more jobs, and is forgotten when its last one has ended. */
  | 'LEAVING'
  /** Takes jobs. */
  | 'READY'
  /** Failed repeatedly: will be tried again later. */
  | 'SET_ASIDE'
  /** Not probed yet. */
  | 'STARTING'
  /** Responds, but can run none of the workflows. */
  | 'UNFIT';

/** Why a request or a job failed. */
export type EditErrorCode =
  /** The batch is unknown, or another caller’s, or its last job expired or was deleted. Not retryable. */
  | 'BATCH_NOT_FOUND'
  /** The job was canceled. Retryable. */
  | 'CANCELED'
  /** The engine went away in each attempt. Retryable. */
  | 'ENGINE_LOST'
  /** There is no engine with this id. Not retryable. */
  | 'ENGINE_NOT_FOUND'
  /** A node of the graph failed. Not retryable. */
  | 'EXECUTION_FAILED'
  /** The images of the job were deleted. Not retryable. */
  | 'EXPIRED'
  /** The URL of an image may not be fetched. Not retryable. */
  | 'INPUT_BLOCKED'
  /** It is not a JPEG, PNG or WebP image. Not retryable. */
  | 'INPUT_NOT_AN_IMAGE'
  /** An image has too many bytes or pixels. Not retryable. */
  | 'INPUT_TOO_LARGE'
  /** The server of an image did not send it. Retryable. */
  | 'INPUT_UNREACHABLE'
  /** An error of the gateway. Retryable. */
  | 'INTERNAL'
  /** A field of the input is not valid. Not retryable. */
  | 'INVALID_INPUT'
  /** The job has not ended yet. Retryable. */
  | 'JOB_NOT_FINAL'
  /** The job is unknown, expired, deleted, or another caller’s. Not retryable. */
  | 'JOB_NOT_FOUND'
  /** The caller has reached one of its limits. Retryable. */
  | 'LIMIT_REACHED'
  /** The engine lacks a model of the workflow. Not retryable. */
  | 'MODEL_MISSING'
  /** The engine lacks a node of the workflow. Not retryable. */
  | 'NODE_MISSING'
  /** The policy of the caller does not allow it. Not retryable. */
  | 'NOT_ALLOWED'
  /** The engine completed each attempt, and had no output image. Retryable. */
  | 'OUTPUT_MISSING'
  /** The engine ran out of memory. Retryable. */
  | 'OUT_OF_MEMORY'
  /** Too many jobs are waiting. Retryable. */
  | 'QUEUE_FULL'
  /** The caller sent too many requests. Retryable. */
  | 'RATE_LIMITED'
  /** The job took longer than the operator allows. Retryable. */
  | 'TIMED_OUT'
  /** The caller may not do this. Not retryable. */
  | 'UNAUTHORIZED'
  /** The workflow is unknown, or its graph is not valid. Not retryable. */
  | 'WORKFLOW_INVALID';

export type EditImageInput = {
  /** 1.0 to 20.0. Default: that of the workflow, 4.0 for the standard one. */
  cfg?: number | null | undefined;
  /** A repeated key with the same input returns the same job; with other input it is an error. Of `editImage` alone: `editImages` has a key for all edits. */
  idempotencyKey?: string | null | undefined;
  /** 1 to 3 images, in the order of their numbers in the prompt ("image 1" …). */
  images: Array<EditImageSource>;
  /** A line of the caller’s own to find the job by, of 1 to 200 characters. Has no effect on the image. */
  label?: string | null | undefined;
  /** Where image 1 changes: white, or transparent if any of it is transparent. Every other pixel of the PNG result is that of image 1 as scaled for the edit. Of the size of image 1, or the same shape; soft edges are blended. Accepted by workflows with `takesMask`. */
  mask?: EditImageSource | null | undefined;
  /** Size of the result in units of 1024 × 1024 pixels, in the aspect ratio of image 1. Default: 1.0. Unset for a workflow whose graph decides the size. */
  megapixels?: number | null | undefined;
  /** Up to 16 texts of the caller’s own, each under another key. */
  metadata?: Array<EditMetadataInput> | null | undefined;
  /** What to avoid. Has no effect at cfg 1. */
  negativePrompt?: string | null | undefined;
  /** Other parameters of the workflow, see `workflows`. */
  parameters?: unknown;
  priority?: EditJobPriority | null | undefined;
  /** What to change. */
  prompt: string;
  /** The same seed and input give the same image. Random by default. */
  seed?: string | number | null | undefined;
  /** 1 to 100. Default: that of the workflow, 40 for the standard one. */
  steps?: number | null | undefined;
  /** How many jobs of `editImages` this edit is, 1 to 1000: with `seed`, `seed` + 1 and so on, or with different random seeds. `editImage` answers one job and takes 1. */
  variations?: number | null | undefined;
  /** Accepted only where the operator has set WEBHOOK_SECRET. */
  webhook?: EditWebhookInput | null | undefined;
  /** Default: the first that an engine can run; with a mask, the first that takes one. */
  workflow?: string | null | undefined;
};

/** Where an image comes from: exactly one of these. */
export type EditImageSource =
  {   /** `data:image/png;base64,…` */
  dataUri: string; jobId?: never; uploadId?: never; url?: never; }
  |  { dataUri?: never;   /** The result of an earlier job, to chain edits. */
  jobId: string | number; uploadId?: never; url?: never; }
  |  { dataUri?: never; jobId?: never;   /** An image that was uploaded by `POST /upload`. */
  uploadId: string | number; url?: never; }
  |  { dataUri?: never; jobId?: never; uploadId?: never;   /** JPEG, PNG or WebP at a public address. */
  url: string; };

export type EditImagesInput = {
  /** At most 1000 jobs in all, each variation counted. An image of several edits is loaded once. */
  edits: Array<EditImageInput>;
  /** A repeated key with the same edits returns the same batch; with others it is an error. The edits have none. */
  idempotencyKey?: string | null | undefined;
};

/** A job of the next lower priority is queued as if it was submitted ten minutes later: it lets others go first, and not for ever. */
export type EditJobPriority =
  | 'HIGH'
  | 'LOW'
  | 'NORMAL';

export type EditJobStage =
  /** Latents are decoded to pixels. */
  | 'DECODING'
  /** Prompt and images are encoded. */
  | 'ENCODING'
  /** Models are loaded. */
  | 'LOADING'
  /** The image is generated, step by step. */
  | 'SAMPLING'
  /** The file is saved. */
  | 'SAVING';

export type EditJobStatus =
  /** The job was canceled. */
  | 'CANCELED'
  /** The images are ready. */
  | 'COMPLETED'
  /** Failed; see `error`. */
  | 'ERROR'
  /** An engine executes it. */
  | 'PROCESSING'
  /** Waits to start. */
  | 'QUEUED';

/** A limit of a caller. */
export type EditLimit =
  /** Megapixels (1024 × 1024 pixels) of each submitted edit times its steps, from 00:00 UTC on. */
  | 'MEGAPIXEL_STEPS_PER_DAY'
  /** Jobs that have not started. */
  | 'WAITING_JOBS';

/** A text of the caller’s own, by its key. */
export type EditMetadataInput = {
  /** 1 to 64 of `A-Z a-z 0-9 _ . : / -`, with a letter or digit first. */
  key: string;
  /** At most 512 characters. */
  value: string;
};

export type EditParameterType =
  | 'BOOLEAN'
  | 'INTEGER'
  | 'NUMBER'
  | 'STRING';

/** Why a job waits. */
export type EditWaitCode =
  /** No engine responds. */
  | 'ENGINES_DOWN'
  /** An operator has drained the engines. */
  | 'ENGINES_DRAINED'
  /** The engines failed repeatedly and are tried again later. */
  | 'ENGINES_SET_ASIDE'
  /** The engines are being probed. */
  | 'ENGINES_STARTING'
  /** The engines lack a node or a model of its workflow. */
  | 'ENGINES_UNFIT'
  /** An engine has it in its own queue. */
  | 'ENGINE_QUEUE'
  /** An engine that can run it was requested. */
  | 'ENGINE_REQUESTED'
  /** Other jobs run first. */
  | 'JOBS_AHEAD'
  /** It is next, and every engine that can run it is busy. */
  | 'LANES_BUSY'
  /** There is no engine: none is configured, and none has registered. */
  | 'NO_ENGINES'
  /** Its last run was lost: it pauses before its next run. */
  | 'PAUSED'
  /** As many jobs of its caller have an engine as the policy of the caller allows. */
  | 'RUNNING_LIMIT'
  /** The store of jobs cannot be reached, or accepts no changes. */
  | 'STORE_AWAY';

/** Events that can be posted to a webhook. */
export type EditWebhookEvent =
  /** The job was canceled. */
  | 'CANCELED'
  /** The images are ready. */
  | 'COMPLETED'
  /** The job failed. */
  | 'ERROR'
  /** A run started; sent again when an engine was lost. */
  | 'STARTED';

/** Where to post a job’s events, signed as Standard Webhooks. */
export type EditWebhookInput = {
  /** At least one. */
  events?: Array<EditWebhookEvent> | null | undefined;
  url: string;
};

export type BatchSnapshotFragment = { id: string, total: number, queued: number, processing: number, completed: number, failed: number, canceled: number, removed: number, ended: boolean, progress: number, etaSeconds: number | null, createdAt: string };

export type BatchQueryVariables = Exact<{
  id: string | number;
}>;


export type BatchQuery = { batch: { id: string, total: number, queued: number, processing: number, completed: number, failed: number, canceled: number, removed: number, ended: boolean, progress: number, etaSeconds: number | null, createdAt: string } | null };

export type BatchJobsQueryVariables = Exact<{
  id: string | number;
  first?: number | null | undefined;
  after?: string | null | undefined;
  status?: Array<EditJobStatus> | EditJobStatus | null | undefined;
}>;


export type BatchJobsQuery = { batch: { jobs: { nodes: Array<{ id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } } | null };

export type EditImagesMutationVariables = Exact<{
  input: EditImagesInput;
}>;


export type EditImagesMutation = { editImages:
    | { __typename: 'EditBatch', id: string, total: number, queued: number, processing: number, completed: number, failed: number, canceled: number, removed: number, ended: boolean, progress: number, etaSeconds: number | null, createdAt: string }
    | { __typename: 'EditImageRejected', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditInvalidInput', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditLimitReached', limit: EditLimit, allowed: number, used: number, freeAt: string, retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditNotAllowed', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditQueueFull', retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
   };

export type CancelBatchMutationVariables = Exact<{
  batchId: string | number;
}>;


export type CancelBatchMutation = { cancelBatch:
    | { __typename: 'EditBatch', id: string, total: number, queued: number, processing: number, completed: number, failed: number, canceled: number, removed: number, ended: boolean, progress: number, etaSeconds: number | null, createdAt: string }
    | { __typename: 'EditBatchNotFound', code: EditErrorCode, message: string, retryable: boolean }
   };

export type RetryFailedMutationVariables = Exact<{
  batchId: string | number;
}>;


export type RetryFailedMutation = { retryFailed:
    | { __typename: 'EditBatch', id: string, total: number, queued: number, processing: number, completed: number, failed: number, canceled: number, removed: number, ended: boolean, progress: number, etaSeconds: number | null, createdAt: string }
    | { __typename: 'EditBatchNotFound', code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditImageRejected', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditInvalidInput', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditLimitReached', limit: EditLimit, allowed: number, used: number, freeAt: string, retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditNotAllowed', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditQueueFull', retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
   };

export type BatchProgressSubscriptionVariables = Exact<{
  batchId: string | number;
  maxPerSecond?: number | null | undefined;
}>;


export type BatchProgressSubscription = { batchProgress: { id: string, total: number, queued: number, processing: number, completed: number, failed: number, canceled: number, removed: number, ended: boolean, progress: number, etaSeconds: number | null, createdAt: string } };

type Fault_EditBatchNotFound_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditEngineNotFound_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditImageRejected_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditInvalidInput_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditJobNotFinal_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditJobNotFound_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditLimitReached_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditNotAllowed_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

type Fault_EditQueueFull_Fragment = { code: EditErrorCode, message: string, retryable: boolean };

export type FaultFragment =
  | Fault_EditBatchNotFound_Fragment
  | Fault_EditEngineNotFound_Fragment
  | Fault_EditImageRejected_Fragment
  | Fault_EditInvalidInput_Fragment
  | Fault_EditJobNotFinal_Fragment
  | Fault_EditJobNotFound_Fragment
  | Fault_EditLimitReached_Fragment
  | Fault_EditNotAllowed_Fragment
  | Fault_EditQueueFull_Fragment
;

export type EditImageMutationVariables = Exact<{
  input: EditImageInput;
}>;


export type EditImageMutation = { editImage:
    | { __typename: 'EditImageRejected', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditInvalidInput', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditJob', id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null }
    | { __typename: 'EditLimitReached', limit: EditLimit, allowed: number, used: number, freeAt: string, retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditNotAllowed', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditQueueFull', retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
   };

export type CancelJobMutationVariables = Exact<{
  id: string | number;
}>;


export type CancelJobMutation = { cancelJob:
    | { __typename: 'EditJob', id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null }
    | { __typename: 'EditJobNotFound', code: EditErrorCode, message: string, retryable: boolean }
   };

export type DeleteJobMutationVariables = Exact<{
  id: string | number;
}>;


export type DeleteJobMutation = { deleteJob:
    | { __typename: 'EditDeletedJob', jobId: string }
    | { __typename: 'EditJobNotFound', code: EditErrorCode, message: string, retryable: boolean }
   };

export type RetryJobMutationVariables = Exact<{
  id: string | number;
}>;


export type RetryJobMutation = { retryJob:
    | { __typename: 'EditImageRejected', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditInvalidInput', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditJob', id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null }
    | { __typename: 'EditJobNotFinal', code: EditErrorCode, message: string, retryable: boolean, job: { id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null } }
    | { __typename: 'EditJobNotFound', code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditLimitReached', limit: EditLimit, allowed: number, used: number, freeAt: string, retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditNotAllowed', field: string | null, code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditQueueFull', retryAfterSeconds: number, code: EditErrorCode, message: string, retryable: boolean }
   };

export type WorkflowsQueryVariables = Exact<{ [key: string]: never; }>;


export type WorkflowsQuery = { workflows: Array<{ name: string, title: string, description: string | null, runnable: boolean, problems: Array<string>, takesMask: boolean, parameters: Array<{ name: string, type: EditParameterType, default: unknown, minimum: number | null, maximum: number | null, options: Array<unknown> | null, description: string }> }> };

export type MeQueryVariables = Exact<{ [key: string]: never; }>;


export type MeQuery = { me: { id: string | null, operator: boolean, limits: { policy: string, highestPriority: EditJobPriority | null, waitingJobs: number | null, runningJobs: number | null, megapixelStepsPerDay: number | null, workflows: Array<string> | null } | null, used: { waitingJobs: number, runningJobs: number, megapixelSteps: number, resetsAt: string } | null } };

export type EnginesQueryVariables = Exact<{ [key: string]: never; }>;


export type EnginesQuery = { engines: Array<{ id: string, source: EditEngineSource, state: EditEngineState, reason: string | null, sandbox: boolean, live: boolean, device: string | null, version: string | null, vramFree: number | null, vramTotal: number | null, workflows: Array<string>, problems: Array<string> }> };

export type ResultSizesQueryVariables = Exact<{
  width: number;
  height: number;
  megapixels?: number | null | undefined;
}>;


export type ResultSizesQuery = { workflows: Array<{ name: string, resultSize: { width: number, height: number } | null }> };

export type AddEngineMutationVariables = Exact<{
  url: string;
}>;


export type AddEngineMutation = { addEngine:
    | { __typename: 'EditEngine', id: string, state: EditEngineState, reason: string | null }
    | { __typename: 'EditInvalidInput', code: EditErrorCode, message: string, retryable: boolean }
   };

export type RemoveEngineMutationVariables = Exact<{
  id: string | number;
}>;


export type RemoveEngineMutation = { removeEngine:
    | { __typename: 'EditEngineNotFound', code: EditErrorCode, message: string, retryable: boolean }
    | { __typename: 'EditRemovedEngine', engineId: string }
   };

export type SetEngineStateMutationVariables = Exact<{
  id: string | number;
  drained: boolean;
  reason?: string | null | undefined;
}>;


export type SetEngineStateMutation = { setEngineState:
    | { __typename: 'EditEngine', id: string, state: EditEngineState, reason: string | null }
    | { __typename: 'EditEngineNotFound', code: EditErrorCode, message: string, retryable: boolean }
   };

export type QueueQueryVariables = Exact<{
  after?: string | null | undefined;
}>;


export type QueueQuery = { jobs: { nodes: Array<{ id: string, status: EditJobStatus, priority: EditJobPriority, progress: number, queuePosition: number | null, engine: string | null, label: string | null, createdAt: string, waitingFor: { code: EditWaitCode, message: string } | null, request: { prompt: string, workflow: string } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type JobSnapshotFragment = { id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null };

export type JobQueryVariables = Exact<{
  id: string | number;
}>;


export type JobQuery = { job: { id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null } | null };

export type JobsQueryVariables = Exact<{
  first?: number | null | undefined;
  after?: string | null | undefined;
  status?: Array<EditJobStatus> | EditJobStatus | null | undefined;
  label?: string | null | undefined;
  metadata?: Array<EditMetadataInput> | EditMetadataInput | null | undefined;
}>;


export type JobsQuery = { jobs: { nodes: Array<{ id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, request: { prompt: string }, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type JobProgressSubscriptionVariables = Exact<{
  jobId: string | number;
  previews?: boolean | null | undefined;
  maxPerSecond?: number | null | undefined;
}>;


export type JobProgressSubscription = { jobProgress: { id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null } };

export type JobUpdatesSubscriptionVariables = Exact<{
  since?: string | null | undefined;
  first?: number | null | undefined;
  status?: Array<EditJobStatus> | EditJobStatus | null | undefined;
  mine?: boolean | null | undefined;
  previews?: boolean | null | undefined;
  maxPerSecond?: number | null | undefined;
}>;


export type JobUpdatesSubscription = { jobUpdates: { cursor: string, reset: boolean, removed: Array<string>, jobs: Array<{ id: string, status: EditJobStatus, revision: number, progress: number, stage: EditJobStage | null, step: number | null, totalSteps: number | null, queuePosition: number | null, etaSeconds: number | null, attempt: number, engine: string | null, label: string | null, createdAt: string, startedAt: string | null, finishedAt: string | null, expiresAt: string | null, request: { prompt: string }, waitingFor: { code: EditWaitCode, message: string } | null, metadata: Array<{ key: string, value: string }>, size: { width: number, height: number } | null, preview: { id: string, url: string, mimeType: string, width: number, height: number } | null, images: Array<{ id: string, url: string, width: number, height: number, mimeType: string, bytes: number, filename: string }>, error: { code: EditErrorCode, message: string, retryable: boolean, node: string | null } | null }> } };

export type JobRequestQueryVariables = Exact<{
  id: string | number;
}>;


export type JobRequestQuery = { job: { request: { prompt: string, negativePrompt: string, seed: string, steps: number, cfg: number, megapixels: number | null, workflow: string, parameters: unknown, images: Array<{ slot: number, source: string, url: string | null, width: number, height: number, mimeType: string, bytes: number }>, mask: { url: string | null, width: number, height: number } | null } } | null };

import type { Operation } from '../connection.ts';

export const BatchDocument: Operation<BatchQuery, BatchQueryVariables> = {
  name: 'Batch',
  text: `query Batch($id: ID!) {
  batch(id: $id) {
    ...BatchSnapshot
  }
}

fragment BatchSnapshot on EditBatch {
  id
  total
  queued
  processing
  completed
  failed
  canceled
  removed
  ended
  progress
  etaSeconds
  createdAt
}`,
};

export const BatchJobsDocument: Operation<BatchJobsQuery, BatchJobsQueryVariables> = {
  name: 'BatchJobs',
  text: `query BatchJobs($id: ID!, $first: Int, $after: String, $status: [EditJobStatus!]) {
  batch(id: $id) {
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
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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

export const EditImagesDocument: Operation<EditImagesMutation, EditImagesMutationVariables> = {
  name: 'EditImages',
  text: `mutation EditImages($input: EditImagesInput!) {
  editImages(input: $input) {
    __typename
    ... on EditBatch {
      ...BatchSnapshot
    }
    ...Fault
    ... on EditInvalidInput {
      field
    }
    ... on EditImageRejected {
      field
    }
    ... on EditQueueFull {
      retryAfterSeconds
    }
    ... on EditLimitReached {
      limit
      allowed
      used
      freeAt
      retryAfterSeconds
    }
    ... on EditNotAllowed {
      field
    }
  }
}

fragment BatchSnapshot on EditBatch {
  id
  total
  queued
  processing
  completed
  failed
  canceled
  removed
  ended
  progress
  etaSeconds
  createdAt
}

fragment Fault on EditError {
  code
  message
  retryable
}`,
};

export const CancelBatchDocument: Operation<CancelBatchMutation, CancelBatchMutationVariables> = {
  name: 'CancelBatch',
  text: `mutation CancelBatch($batchId: ID!) {
  cancelBatch(batchId: $batchId) {
    __typename
    ... on EditBatch {
      ...BatchSnapshot
    }
    ...Fault
  }
}

fragment BatchSnapshot on EditBatch {
  id
  total
  queued
  processing
  completed
  failed
  canceled
  removed
  ended
  progress
  etaSeconds
  createdAt
}

fragment Fault on EditError {
  code
  message
  retryable
}`,
};

export const RetryFailedDocument: Operation<RetryFailedMutation, RetryFailedMutationVariables> = {
  name: 'RetryFailed',
  text: `mutation RetryFailed($batchId: ID!) {
  retryFailed(batchId: $batchId) {
    __typename
    ... on EditBatch {
      ...BatchSnapshot
    }
    ...Fault
    ... on EditInvalidInput {
      field
    }
    ... on EditImageRejected {
      field
    }
    ... on EditQueueFull {
      retryAfterSeconds
    }
    ... on EditLimitReached {
      limit
      allowed
      used
      freeAt
      retryAfterSeconds
    }
    ... on EditNotAllowed {
      field
    }
  }
}

fragment BatchSnapshot on EditBatch {
  id
  total
  queued
  processing
  completed
  failed
  canceled
  removed
  ended
  progress
  etaSeconds
  createdAt
}

fragment Fault on EditError {
  code
  message
  retryable
}`,
};

export const BatchProgressDocument: Operation<BatchProgressSubscription, BatchProgressSubscriptionVariables> = {
  name: 'BatchProgress',
  text: `subscription BatchProgress($batchId: ID!, $maxPerSecond: Float) {
  batchProgress(batchId: $batchId, maxPerSecond: $maxPerSecond) {
    ...BatchSnapshot
  }
}

fragment BatchSnapshot on EditBatch {
  id
  total
  queued
  processing
  completed
  failed
  canceled
  removed
  ended
  progress
  etaSeconds
  createdAt
}`,
};

export const EditImageDocument: Operation<EditImageMutation, EditImageMutationVariables> = {
  name: 'EditImage',
  text: `mutation EditImage($input: EditImageInput!) {
  editImage(input: $input) {
    __typename
    ... on EditJob {
      ...JobSnapshot
    }
    ...Fault
    ... on EditInvalidInput {
      field
    }
    ... on EditImageRejected {
      field
    }
    ... on EditQueueFull {
      retryAfterSeconds
    }
    ... on EditLimitReached {
      limit
      allowed
      used
      freeAt
      retryAfterSeconds
    }
    ... on EditNotAllowed {
      field
    }
  }
}

fragment Fault on EditError {
  code
  message
  retryable
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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
    ... on EditJob {
      ...JobSnapshot
    }
    ...Fault
  }
}

fragment Fault on EditError {
  code
  message
  retryable
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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
    ... on EditDeletedJob {
      jobId
    }
    ...Fault
  }
}

fragment Fault on EditError {
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
    ... on EditJob {
      ...JobSnapshot
    }
    ...Fault
    ... on EditInvalidInput {
      field
    }
    ... on EditImageRejected {
      field
    }
    ... on EditQueueFull {
      retryAfterSeconds
    }
    ... on EditLimitReached {
      limit
      allowed
      used
      freeAt
      retryAfterSeconds
    }
    ... on EditNotAllowed {
      field
    }
    ... on EditJobNotFinal {
      job {
        ...JobSnapshot
      }
    }
  }
}

fragment Fault on EditError {
  code
  message
  retryable
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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

export const WorkflowsDocument: Operation<WorkflowsQuery, WorkflowsQueryVariables> = {
  name: 'Workflows',
  text: `query Workflows {
  workflows {
    name
    title
    description
    runnable
    problems
    takesMask
    parameters {
      name
      type
      default
      minimum
      maximum
      options
      description
    }
  }
}`,
};

export const MeDocument: Operation<MeQuery, MeQueryVariables> = {
  name: 'Me',
  text: `query Me {
  me {
    id
    operator
    limits {
      policy
      highestPriority
      waitingJobs
      runningJobs
      megapixelStepsPerDay
      workflows
    }
    used {
      waitingJobs
      runningJobs
      megapixelSteps
      resetsAt
    }
  }
}`,
};

export const EnginesDocument: Operation<EnginesQuery, EnginesQueryVariables> = {
  name: 'Engines',
  text: `query Engines {
  engines {
    id
    source
    state
    reason
    sandbox
    live
    device
    version
    vramFree
    vramTotal
    workflows
    problems
  }
}`,
};

export const ResultSizesDocument: Operation<ResultSizesQuery, ResultSizesQueryVariables> = {
  name: 'ResultSizes',
  text: `query ResultSizes($width: Int!, $height: Int!, $megapixels: Float) {
  workflows {
    name
    resultSize(width: $width, height: $height, megapixels: $megapixels) {
      width
      height
    }
  }
}`,
};

export const AddEngineDocument: Operation<AddEngineMutation, AddEngineMutationVariables> = {
  name: 'AddEngine',
  text: `mutation AddEngine($url: String!) {
  addEngine(url: $url) {
    __typename
    ... on EditEngine {
      id
      state
      reason
    }
    ...Fault
  }
}

fragment Fault on EditError {
  code
  message
  retryable
}`,
};

export const RemoveEngineDocument: Operation<RemoveEngineMutation, RemoveEngineMutationVariables> = {
  name: 'RemoveEngine',
  text: `mutation RemoveEngine($id: ID!) {
  removeEngine(id: $id) {
    __typename
    ... on EditRemovedEngine {
      engineId
    }
    ...Fault
  }
}

fragment Fault on EditError {
  code
  message
  retryable
}`,
};

export const SetEngineStateDocument: Operation<SetEngineStateMutation, SetEngineStateMutationVariables> = {
  name: 'SetEngineState',
  text: `mutation SetEngineState($id: ID!, $drained: Boolean!, $reason: String) {
  setEngineState(id: $id, drained: $drained, reason: $reason) {
    __typename
    ... on EditEngine {
      id
      state
      reason
    }
    ...Fault
  }
}

fragment Fault on EditError {
  code
  message
  retryable
}`,
};

export const QueueDocument: Operation<QueueQuery, QueueQueryVariables> = {
  name: 'Queue',
  text: `query Queue($after: String) {
  jobs(first: 100, after: $after, status: [QUEUED, PROCESSING]) {
    nodes {
      id
      status
      priority
      progress
      queuePosition
      waitingFor {
        code
        message
      }
      engine
      label
      createdAt
      request {
        prompt
        workflow
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}`,
};

export const JobDocument: Operation<JobQuery, JobQueryVariables> = {
  name: 'Job',
  text: `query Job($id: ID!) {
  job(id: $id) {
    ...JobSnapshot
  }
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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
  text: `query Jobs($first: Int, $after: String, $status: [EditJobStatus!], $label: String, $metadata: [EditMetadataInput!]) {
  jobs(
    first: $first
    after: $after
    status: $status
    label: $label
    metadata: $metadata
  ) {
    nodes {
      ...JobSnapshot
      request {
        prompt
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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
  text: `subscription JobProgress($jobId: ID!, $previews: Boolean, $maxPerSecond: Float) {
  jobProgress(jobId: $jobId, previews: $previews, maxPerSecond: $maxPerSecond) {
    ...JobSnapshot
  }
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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

export const JobUpdatesDocument: Operation<JobUpdatesSubscription, JobUpdatesSubscriptionVariables> = {
  name: 'JobUpdates',
  text: `subscription JobUpdates($since: String, $first: Int, $status: [EditJobStatus!], $mine: Boolean, $previews: Boolean, $maxPerSecond: Float) {
  jobUpdates(
    since: $since
    first: $first
    status: $status
    mine: $mine
    previews: $previews
    maxPerSecond: $maxPerSecond
  ) {
    cursor
    reset
    jobs {
      ...JobSnapshot
      request {
        prompt
      }
    }
    removed
  }
}

fragment JobSnapshot on EditJob {
  id
  status
  revision
  progress
  stage
  step
  totalSteps
  queuePosition
  waitingFor {
    code
    message
  }
  etaSeconds
  attempt
  engine
  label
  metadata {
    key
    value
  }
  size {
    width
    height
  }
  preview {
    id
    url
    mimeType
    width
    height
  }
  images {
    id
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

export const JobRequestDocument: Operation<JobRequestQuery, JobRequestQueryVariables> = {
  name: 'JobRequest',
  text: `query JobRequest($id: ID!) {
  job(id: $id) {
    request {
      images {
        slot
        source
        url
        width
        height
        mimeType
        bytes
      }
      mask {
        url
        width
        height
      }
      prompt
      negativePrompt
      seed
      steps
      cfg
      megapixels
      workflow
      parameters
    }
  }
}`,
};
