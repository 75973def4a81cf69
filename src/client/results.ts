import type {
  AddEngineMutation,
  BatchJobsQuery,
  CancelBatchMutation,
  CancelJobMutation,
  DeleteJobMutation,
  EditImageMutation,
  EditImagesMutation,
  EnginesQuery,
  JobRequestQuery,
  JobsQuery,
  MeQuery,
  QueueQuery,
  RemoveEngineMutation,
  RetryFailedMutation,
  RetryJobMutation,
  SetEngineStateMutation,
  WorkflowsQuery,
} from './generated/operations.ts';

/** The result of `editMany`, discriminated by `__typename`: a batch, or an error whose `field` names the edit by its index. */
export type EditManyResult = EditImagesMutation['editImages'];
export type CancelBatchResult = CancelBatchMutation['cancelBatch'];
export type RetryFailedResult = RetryFailedMutation['retryFailed'];
/** A page of the jobs of a batch, in the order of its edits. */
export type BatchJobPage = NonNullable<BatchJobsQuery['batch']>['jobs'];

/** The result of `edit`, discriminated by `__typename`: a job, or an error that says what to change. */
export type EditResult = EditImageMutation['editImage'];
export type CancelResult = CancelJobMutation['cancelJob'];
export type DeleteResult = DeleteJobMutation['deleteJob'];
export type RetryResult = RetryJobMutation['retryJob'];
/** What a job was submitted with, with all defaults and the seed filled in. */
export type JobRequest = NonNullable<JobRequestQuery['job']>['request'];
export type Workflow = WorkflowsQuery['workflows'][number];
export type Engine = EnginesQuery['engines'][number];
/** How the gateway has identified the client. */
export type Caller = MeQuery['me'];
export type AddEngineResult = AddEngineMutation['addEngine'];
export type RemoveEngineResult = RemoveEngineMutation['removeEngine'];
export type SetEngineStateResult = SetEngineStateMutation['setEngineState'];
/** A page of the jobs that have not ended, newest first. */
export type QueuePage = QueueQuery['jobs'];
/** A job that has not ended, as `queue` lists it. */
export type QueuedJob = QueuePage['nodes'][number];
/** A page of jobs, newest first. `pageInfo.endCursor` is the `after` of the next page. */
export type JobPage = JobsQuery['jobs'];
