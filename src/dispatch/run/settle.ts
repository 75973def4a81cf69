import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import { type JobError, jobError } from '../../jobs/errors.ts';
import { loggedJob } from '../../jobs/trace.ts';
import type { BoundPrompt } from '../../workflows/bind/bind.ts';
import type { DispatchContext } from '../context.ts';
import type { Engine } from '../engines/engine.ts';
import type { Moves } from '../lanes/moves.ts';
import { nameOf } from '../pace.ts';
import { collectOutputs, findOutputs, OutputMissing } from './collect.ts';
import { isOutOfMemory, nameFailure, reportOf } from './failures.ts';
import type { FollowResult } from './follow.ts';
import type { HeldJob } from './held-job.ts';
import type { Inbox, RunSignal } from './inbox.ts';
import type { PromptName } from './lookup.ts';
import { type Persisted, persist } from './patience.ts';

/** Retries of a job after the engine ran out of memory. */
const MEMORY_RETRIES = 1;

/** One run of a job on an engine. */
export interface Run {
  readonly context: DispatchContext;
  readonly engine: Engine;
  readonly moves: Moves;
  readonly held: HeldJob;
  /** The client id of its socket, and the id that was requested for its prompt. */
  readonly clientId: string;
  readonly inbox: Inbox<RunSignal>;
  readonly signal: AbortSignal;
  /** Aborts when the job is canceled or deleted, and with `signal`. */
  readonly unwanted: AbortSignal;
  wantsCancel(): boolean;
  leaving(): boolean;
}

type Ended = Extract<FollowResult, { kind: 'ended' }>;

/** How the engine knows the run's prompt; see `PromptName`. */
export function nameOfPrompt({ held, clientId }: Run): PromptName {
  return { promptId: held.job.promptId ?? clientId, clientId, confirmed: false };
}

/** Ends the run as following its prompt ended: the job is final, back in the queue, or left to the next holder. */
export async function finish(run: Run, prompt: BoundPrompt, result: FollowResult): Promise<void> {
  const { engine } = run;
  switch (result.kind) {
    case 'left':
      return;
    case 'unreachable':
      engine.abandon(nameOfPrompt(run));
      engine.lost(result.reason);
      return lost(run, `the engine did not respond: ${result.reason}`);
    case 'stuck': {
      const why = 'it does not stop a prompt that it was told to stop';
      engine.abandon(nameOfPrompt(run));
      engine.lost(why);
      return result.exceeded === null ? canceled(run) : fail(run, jobError('TIMED_OUT', result.exceeded));
    }
    case 'withdrawn':
      if (run.wantsCancel()) return canceled(run);
      engine.abandon(nameOfPrompt(run));
      return handBack(run, result.reason);
    case 'absent':
      if (run.wantsCancel()) return canceled(run);
      if (result.exceeded !== null) return fail(run, jobError('TIMED_OUT', result.exceeded));
      return recoverFiles(run, prompt, result.reason);
    case 'ended':
      return settle(run, prompt, result);
    default:
      return result satisfies never;
  }
}

async function settle(run: Run, prompt: BoundPrompt, result: Ended): Promise<void> {
  const { context, engine, held } = run;
  const { outcome } = result.entry;
  if (run.wantsCancel()) return canceled(run);
  switch (outcome.kind) {
    case 'interrupted':
      if (result.exceeded !== null) return fail(run, jobError('TIMED_OUT', result.exceeded));
      return fail(run, jobError('CANCELED', 'The job was interrupted at the engine'));
    case 'failed': {
      const report = reportOf(outcome.failure);
      const { exceptionType, node } = outcome.failure;
      context.log.warn(
        { ...loggedJob(held.job), engine: engine.id, exceptionType, node },
        'execution failed',
      );
      // A node's message may repeat the prompt, so the report is logged at debug only; operators find it at the job.
      context.log.debug({ ...loggedJob(held.job), report }, 'report of the failed execution');
      if (!isOutOfMemory(outcome.failure)) return fail(run, nameFailure(outcome.failure, held.job), report);
      engine.ranOutOfMemory();
      await attempt(run, 'free memory', () => engine.client.free());
      if (held.job.memoryFailures >= MEMORY_RETRIES) {
        return fail(run, nameFailure(outcome.failure, held.job), report);
      }
      await forget(run);
      await held.apply({
        type: 'outOfMemory',
        at: context.now(),
        reason: outcome.failure.message,
        engineReport: report,
      });
      return;
    }
    case 'succeeded':
      return collect(run, prompt, result);
    default:
      return outcome satisfies never;
  }
}

async function collect(run: Run, prompt: BoundPrompt, result: Ended): Promise<void> {
  const { context, engine, held } = run;
  const { artifacts, log } = context;
  const collecting = { client: engine.client, artifacts, log };
  try {
    const outputs = await context.observer.around('collect', held.job, () =>
      persistently(run, () => collectOutputs(collecting, held.job.id, result.entry, prompt.outputNode)),
    );
    switch (outputs.kind) {
      case 'stopped':
        return stop(run);
      case 'late': {
        const seconds = Math.round(context.limits.engineGraceMs / 1000);
        engine.lost(outputs.error.message);
        return lost(run, `its images could not be fetched for ${seconds} s: ${outputs.error.message}`);
      }
      case 'done':
        return complete(run, outputs.value);
      default:
        return outputs satisfies never;
    }
  } catch (error) {
    if (!(error instanceof OutputMissing)) throw error;
    return makeAgain(run, error.message);
  }
}

/** The prompt has ended, and its images are gone, as after a restart without the old disk: it runs again, or fails. */
async function makeAgain(run: Run, reason: string): Promise<void> {
  const { context, engine, held } = run;
  const at = context.now();
  const { maxAttempts, jobTtlMs } = context.limits;
  context.log.warn(
    { ...loggedJob(held.job), engine: engine.id, reason },
    'the images of a prompt are missing',
  );
  // An engine that was not restarted has the results of the nodes in its cache, and would name the same files again.
  await attempt(run, 'free memory', () => engine.client.free());
  engine.mayHaveRestarted();
  await forget(run);
  await held.apply({ type: 'outputMissing', at, reason, maxAttempts, expiresAt: at + jobTtlMs });
}

/** The prompt is lost, but not what it may have stored before: then the job is complete. */
async function recoverFiles(run: Run, prompt: BoundPrompt, reason: string): Promise<void> {
  const { context, engine, held } = run;
  const { artifacts, log } = context;
  const found = await persistently(run, () =>
    findOutputs({ client: engine.client, artifacts, log }, held.job.id, prompt),
  );
  if (found.kind === 'stopped') return stop(run);
  if (found.kind === 'late' || found.value.length === 0) {
    engine.mayHaveRestarted();
    return lost(run, reason);
  }
  context.observer.missed(engine.id, 'images');
  log.info({ ...loggedJob(held.job), engine: engine.id, reason }, 'the images of a lost prompt were found');
  // Nothing said that it began, except that it ended.
  await held.apply({ type: 'started', at: context.now() });
  return complete(run, found.value);
}

async function complete(run: Run, outputs: Awaited<ReturnType<typeof collectOutputs>>): Promise<void> {
  const { context, engine, held } = run;
  const at = context.now();
  const started = held.job.startedAt;
  if (started !== null) context.pace.completed(nameOf(engine), held.job, (at - started) / 1000);
  await held.apply({ type: 'completed', at, outputs, expiresAt: at + context.limits.jobTtlMs });
  engine.ranWell();
  await forget(run);
}

/** Repeats a request to the engine while it fails, as long as an engine may be away. */
export function persistently<T>(
  run: Run,
  request: () => Promise<T>,
  mayHelp = isUnreachable,
): Promise<Persisted<T, EngineUnreachable>> {
  const { context, inbox } = run;
  return persist(request, {
    forMs: context.limits.engineGraceMs,
    now: context.now,
    mayHelp,
    stopped: () => run.wantsCancel() || run.leaving(),
    async wait(ms) {
      // What the signals say is known otherwise: `stopped` has it.
      inbox.drain();
      await inbox.wait(ms);
    },
  });
}

function isUnreachable(error: unknown): error is EngineUnreachable {
  return error instanceof EngineUnreachable;
}

/** Ends a run whose prompt has ended: it was canceled meanwhile, or is left to the next holder of the lane. */
async function stop(run: Run): Promise<void> {
  if (!run.leaving()) await canceled(run);
}

export async function fail(run: Run, error: JobError, engineReport: string | null = null): Promise<void> {
  const at = run.context.now();
  await run.held.apply({
    type: 'failed',
    at,
    error,
    engineReport,
    expiresAt: at + run.context.limits.jobTtlMs,
  });
  await forget(run);
}

export async function canceled(run: Run): Promise<void> {
  const at = run.context.now();
  await run.held.apply({ type: 'canceled', at, expiresAt: at + run.context.limits.jobTtlMs });
  await forget(run);
}

export async function handBack(run: Run, reason: string): Promise<void> {
  const at = run.context.now();
  await run.held.apply({ type: 'handedBack', at, reason, expiresAt: at + run.context.limits.jobTtlMs });
}

export async function lost(run: Run, reason: string): Promise<void> {
  const { context, held } = run;
  const at = context.now();
  const { maxAttempts, jobTtlMs } = context.limits;
  context.log.warn({ ...loggedJob(held.job), engine: run.engine.id, reason }, 'engine lost the job');
  await held.apply({ type: 'engineLost', at, reason, maxAttempts, expiresAt: at + jobTtlMs });
}

/** The engine's history entry holds the whole graph: it is useless once the job has ended. */
async function forget(run: Run): Promise<void> {
  const { promptId } = nameOfPrompt(run);
  await attempt(run, 'forget the prompt', () => run.engine.client.deleteHistory(promptId));
}

/** Sends the engine a request on whose success the job does not depend. */
export async function attempt(
  { context, engine }: Run,
  what: string,
  action: () => Promise<void>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    context.log.warn({ engine: engine.id, reason: error.message }, `could not ${what}`);
  }
}
