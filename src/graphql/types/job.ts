import type { Size } from '../../images/formats.ts';
import { describeCode, errorCodes, isRetryable, type JobError } from '../../jobs/errors.ts';
import { JOB_PRIORITIES, JOB_STATUSES, type Job } from '../../jobs/job.ts';
import type { WaitCode, WaitReason } from '../../jobs/waiting.ts';
import { STAGES } from '../../workflows/manifest.ts';
import type { Builder } from '../builder.ts';
import { OPERATOR_TAG } from '../federation/directives.ts';
import { FAILS_ALONE } from '../nullability.ts';
import { addImages } from './images.ts';
import { addNodeInterface } from './node-interface.ts';
import { addWebhook } from './webhook.ts';

const STATUS_MEANINGS = {
  QUEUED: 'Waits to start.',
  PROCESSING: 'An engine executes it.',
  COMPLETED: 'The images are ready.',
  ERROR: 'Failed; see `error`.',
  CANCELED: 'The job was canceled.',
} as const;

const STAGE_MEANINGS = {
  LOADING: 'Models are loaded.',
  ENCODING: 'Prompt and images are encoded.',
  SAMPLING: 'The image is generated, step by step.',
  DECODING: 'Latents are decoded to pixels.',
  SAVING: 'The file is saved.',
} as const;

/** Adds `EditJob` and what it is made of. Returns the references that other files need. */
export function addJob(builder: Builder) {
  const Node = addNodeInterface(builder);
  const JobStatus = builder.enumType('EditJobStatus', {
    values: described(JOB_STATUSES, name => STATUS_MEANINGS[name]),
  });
  const JobPriority = builder.enumType('EditJobPriority', {
    description:
      'A job of the next lower priority is queued as if it was submitted ten minutes later: it lets others go first, and not for ever.',
    values: JOB_PRIORITIES,
  });
  const JobStage = builder.enumType('EditJobStage', {
    values: described(STAGES, name => STAGE_MEANINGS[name]),
  });
  const ErrorCode = builder.enumType('EditErrorCode', {
    description: 'Why a request or a job failed.',
    values: described(errorCodes, describeCode),
  });

  const { WebhookEvent, WebhookType, WebhookDelivery } = addWebhook(builder);

  const SizeType = builder.objectRef<Size>('EditImageSize').implement({
    description: 'Pixels.',
    fields: t => ({ width: t.exposeInt('width'), height: t.exposeInt('height') }),
  });

  const JobErrorType = builder.objectRef<JobError>('EditJobError').implement({
    description: 'Why a job failed.',
    fields: t => ({
      code: t.field({ type: ErrorCode, resolve: error => error.code }),
      message: t.exposeString('message'),
      retryable: t.boolean({
        description: 'Whether the same request may succeed later: the same for each error of a code.',
        resolve: error => isRetryable(error.code),
      }),
      node: t.exposeString('node', { nullable: true, description: 'Id of the graph node that failed.' }),
    }),
  });

  const { OutputImageType, PreviewImageType, InputImageType, MaskType } = addImages(builder, Node);

  const EditRequestType = builder.objectRef<Job>('EditRequest').implement({
    description: 'The request, with all defaults and the seed filled in.',
    fields: t => ({
      images: t.field({
        type: [InputImageType],
        resolve: job => job.request.images.map(value => ({ job, value })),
      }),
      mask: t.field({
        type: MaskType,
        nullable: true,
        resolve: job => (job.request.mask === undefined ? null : { job, value: job.request.mask }),
      }),
      prompt: t.string({ resolve: ({ request }) => request.prompt }),
      negativePrompt: t.string({ resolve: ({ request }) => request.negativePrompt }),
      seed: t.field({ type: 'EditSeed', resolve: ({ request }) => request.seed }),
      steps: t.int({ resolve: ({ request }) => request.steps }),
      cfg: t.float({ resolve: ({ request }) => request.cfg }),
      megapixels: t.float({
        nullable: true,
        description: 'Null when the graph of the workflow decides the size.',
        resolve: ({ request }) => request.megapixels,
      }),
      workflow: t.string({ resolve: ({ request }) => request.workflow }),
      parameters: t.field({ type: 'JSON', resolve: ({ request }) => request.parameters }),
      webhook: t.field({ type: WebhookType, nullable: true, resolve: ({ request }) => request.webhook }),
    }),
  });

  const MetadataEntry = builder.objectRef<readonly [string, string]>('EditMetadataEntry').implement({
    description: 'A text of the caller’s own, by its key.',
    fields: t => ({
      key: t.string({ resolve: ([key]) => key }),
      value: t.string({ resolve: ([, value]) => value }),
    }),
  });
  const MetadataInput = builder.inputType('EditMetadataInput', {
    description: 'A text of the caller’s own, by its key.',
    fields: t => ({
      key: t.string({
        required: true,
        description: '1 to 64 of `A-Z a-z 0-9 _ . : / -`, with a letter or digit first.',
      }),
      value: t.string({ required: true, description: 'At most 512 characters.' }),
    }),
  });

  const WaitCodeType = builder.enumType('EditWaitCode', {
    description: 'Why a job waits.',
    values: {
      JOBS_AHEAD: { description: 'Other jobs run first.' },
      LANES_BUSY: { description: 'It is next, and every engine that can run it is busy.' },
      RUNNING_LIMIT: {
        description: 'As many jobs of its caller have an engine as the policy of the caller allows.',
      },
      ENGINE_QUEUE: { description: 'An engine has it in its own queue.' },
      PAUSED: { description: 'Its last run was lost: it pauses before its next run.' },
      ENGINE_REQUESTED: { description: 'An engine that can run it was requested.' },
      ENGINES_STARTING: { description: 'The engines are being probed.' },
      ENGINES_DOWN: { description: 'No engine responds.' },
      ENGINES_UNFIT: { description: 'The engines lack a node or a model of its workflow.' },
      NO_ENGINES: { description: 'There is no engine: none is configured, and none has registered.' },
      ENGINES_DRAINED: { description: 'An operator has drained the engines.' },
      ENGINES_SET_ASIDE: { description: 'The engines failed repeatedly and are tried again later.' },
      STORE_AWAY: { description: 'The store of jobs cannot be reached, or accepts no changes.' },
    } satisfies Record<WaitCode, object>,
  });
  const WaitType = builder.objectRef<WaitReason>('EditWait').implement({
    description: 'Why a job waits.',
    fields: t => ({
      code: t.field({ type: WaitCodeType, resolve: ({ code }) => code }),
      message: t.exposeString('message', { description: 'One sentence for people.' }),
    }),
  });

  const JobType = builder.objectRef<Job>('EditJob').implement({
    description: 'One image edit.',
    interfaces: [Node],
    directives: { key: { fields: 'id' } },
    fields: t => ({
      id: t.exposeID('id'),
      status: t.field({ type: JobStatus, resolve: job => job.status }),
      priority: t.field({ type: JobPriority, resolve: job => job.priority }),
      revision: t.exposeInt('revision', { description: 'Rises with each change.' }),
      progress: t.exposeFloat('progress', {
        description: 'Percent of the whole job, 0 to 100. Never falls within a run.',
      }),
      stage: t.field({ type: JobStage, nullable: true, resolve: job => job.stage }),
      step: t.exposeInt('step', { nullable: true, description: 'Finished sampler steps.' }),
      totalSteps: t.exposeInt('totalSteps', { nullable: true }),
      queuePosition: t.int({
        nullable: true,
        description: 'Jobs ahead of this one; null when it does not wait.',
        resolve: async (job, _, { jobs }) => (await jobs.place(job))?.ahead ?? job.queuePosition,
      }),
      waitingFor: t.field({
        type: WaitType,
        nullable: true,
        description: 'Why the job waits; null unless it is QUEUED.',
        resolve: (job, _, { waitingFor, caller }) => waitingFor(job, caller),
      }),
      etaSeconds: t.exposeFloat('etaSeconds', {
        nullable: true,
        description:
          'Seconds to the end, estimated from measured steps of similar jobs; null until there are measurements.',
      }),
      size: t.field({
        type: SizeType,
        nullable: true,
        description: 'Size of the result, known once an engine has the job.',
        resolve: job => job.size,
      }),
      request: t.field({ type: EditRequestType, resolve: job => job }),
      batchId: t.id({
        nullable: true,
        description: 'The batch that the job was submitted with by `editImages`.',
        resolve: job => job.batch?.id ?? null,
      }),
      label: t.string({
        nullable: true,
        description: 'As the caller gave it.',
        resolve: job => job.request.label,
      }),
      metadata: t.field({
        type: [MetadataEntry],
        description: 'As the caller gave it.',
        resolve: job => Object.entries(job.request.metadata),
      }),
      images: t.field({
        type: [OutputImageType],
        resolve: job => job.outputs.map((value, index) => ({ job, value, index })),
      }),
      preview: t.field({
        type: PreviewImageType,
        nullable: true,
        resolve: job => (job.preview === null ? null : { job, value: job.preview }),
      }),
      error: t.field({ type: JobErrorType, nullable: true, resolve: job => job.error }),
      engine: t.string({
        nullable: true,
        description: 'The engine that runs or ran it; visible to operators only.',
        directives: OPERATOR_TAG,
        resolve: (job, _, { caller }) => (caller.operator ? job.engine : null),
      }),
      promptId: t.exposeID('promptId', { nullable: true, directives: OPERATOR_TAG }),
      webhookDeliveries: t.field({
        type: [WebhookDelivery],
        ...FAILS_ALONE,
        description: 'Deliveries to the job’s webhook, oldest first.',
        resolve: async (job, _, { jobs }) => [...(await jobs.deliveries(job))],
      }),
      live: t.exposeBoolean('live', {
        nullable: true,
        description:
          'Whether steps and previews of the run arrive: false while the events of its engine do not. Null unless it runs.',
      }),
      attempt: t.exposeInt('attempt', { description: 'Runs that an engine began.' }),
      createdAt: t.field({ type: 'DateTime', resolve: job => new Date(job.createdAt) }),
      startedAt: t.field({ type: 'DateTime', nullable: true, resolve: job => dateOf(job.startedAt) }),
      finishedAt: t.field({ type: 'DateTime', nullable: true, resolve: job => dateOf(job.finishedAt) }),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When the job and its images are deleted.',
        resolve: job => dateOf(job.expiresAt),
      }),
    }),
  });

  return { Node, JobType, SizeType, JobStatus, JobPriority, ErrorCode, WebhookEvent, MetadataInput };
}

function dateOf(time: number | null): Date | null {
  return time === null ? null : new Date(time);
}

function described<K extends string>(
  names: readonly K[],
  meaningOf: (name: K) => string,
): Record<K, { description: string }> {
  const values: Partial<Record<K, { description: string }>> = {};
  for (const name of names) values[name] = { description: meaningOf(name) };
  return values as Record<K, { description: string }>;
}

export type JobTypes = ReturnType<typeof addJob>;
