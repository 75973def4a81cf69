import { EngineUnreachable } from '../comfyui/client.ts';
import type { EngineSocket } from '../comfyui/socket.ts';
import { type JobError, jobError } from '../jobs/errors.ts';
import type { Job } from '../jobs/job.ts';
import type { Lease } from '../jobs/ports.ts';
import type { BoundPrompt } from '../workflows/bind/bind.ts';
import { besideOthers, lanesOf } from './choose.ts';
import { collectOutputs, OutputMissing } from './collect.ts';
import type { DispatchContext } from './context.ts';
import type { Engine } from './engine.ts';
import { isOutOfMemory, nameFailure, nameRejection, reportOf } from './failures.ts';
import {
  createInbox,
  type FollowResult,
  followPrompt,
  type Inbox,
  openRunSocket,
  type RunSignal,
} from './follow.ts';
import { createPreviewKeeper, type HeldJob, holdJob, RunOver } from './held-job.ts';
import { findPrompt, stopPrompt } from './lookup.ts';
import { bindJob, uploadInputs } from './prepare.ts';

/** How often a job that has its engine for itself looks whether the others have ended. */
const TURN_POLL_MS = 250;
/** Retries of a job after the engine ran out of memory. */
const MEMORY_RETRIES = 1;

interface Run {
  readonly context: DispatchContext;
  readonly engine: Engine;
  readonly held: HeldJob;
  readonly promptId: string;
  readonly inbox: Inbox<RunSignal>;
  wantsCancel(): boolean;
  leaving(): boolean;
}

/**
 * Drives a claimed job to its end, or back to the queue, and resolves when the lane is free again. A job that the lane's
 * previous holder left (`left`) is looked up and resumed. When `signal` aborts, the job is left as it is for the next
 * holder of the lane. Never rejects because of the job or the engine.
 */
export async function runJob(
  context: DispatchContext,
  engine: Engine,
  claimed: Job,
  lease: Lease,
  left: boolean,
  signal: AbortSignal,
): Promise<void> {
  const promptId = claimed.promptId;
  if (promptId === null) throw new Error(`Job ${claimed.id} has a lane and no prompt id`);
  const inbox = createInbox<RunSignal>();
  let cancel = claimed.cancelRequested;
  let gone = false;
  const unwatch = await context.feed.watch(claimed.id, {
    changed(job) {
      if (!job.cancelRequested || cancel) return;
      cancel = true;
      inbox.push({ kind: 'cancel' });
    },
    gone() {
      gone = true;
      inbox.push({ kind: 'gone' });
    },
  });
  const leave = (): void => inbox.push({ kind: 'leave' });
  signal.addEventListener('abort', leave);
  const run: Run = {
    context,
    engine,
    held: holdJob(context.ledger, claimed, lease, signal),
    promptId,
    inbox,
    wantsCancel: () => cancel || gone,
    leaving: () => signal.aborted,
  };
  try {
    // A cancel between the claim and the watch would be missed otherwise.
    const present = await context.ledger.get(claimed.id);
    if (present === null) throw new RunOver('gone');
    cancel ||= present.cancelRequested;
    await (left ? resume(run) : begin(run));
  } catch (error) {
    if (error instanceof RunOver) await giveUp(run, error);
    else throw error;
  } finally {
    signal.removeEventListener('abort', leave);
    unwatch();
    await context.previews.drop(claimed.id).catch(error => {
      context.log.debug({ job: claimed.id, err: error }, 'the preview was not removed: it expires');
    });
  }
}

async function begin(run: Run): Promise<void> {
  const { context, engine, held } = run;
  let prompt: BoundPrompt;
  let socket: EngineSocket;
  try {
    const turn = await awaitTurn(run);
    if (turn === 'yield') return handBack(run, 'another job runs alone on the engine');
    if (turn === 'stopped') return run.leaving() ? handBack(run, 'the gateway stops') : canceled(run);
    const uploads = await uploadInputs(context, engine, held.job, () => run.wantsCancel() || run.leaving());
    if (uploads.ok === 'stopped') return run.leaving() ? handBack(run, 'the gateway stops') : canceled(run);
    if (!uploads.ok) return fail(run, uploads.error);
    const prepared = bindJob(context, held.job, uploads.names);
    if (!prepared.ok) return fail(run, prepared.error);
    prompt = prepared.prompt;
    await held.apply({ type: 'bound', at: context.now(), size: prompt.size });
    if (run.wantsCancel()) return canceled(run);
    socket = await openRunSocket(engine, run.promptId, run.inbox);
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    // Nothing was submitted: another engine may take the job at once, and the attempt does not count.
    engine.lost(error.message);
    return handBack(run, error.message);
  }
  const submitted = await submit(run, prompt);
  switch (submitted.kind) {
    case 'accepted':
      return finish(run, prompt, await follow(run, prompt, socket));
    case 'rejected':
      await socket.close();
      return fail(run, submitted.error);
    case 'unknown': {
      // The response was lost, not necessarily the prompt: it is looked up, never submitted blindly again.
      await socket.close();
      const result = await follow(run, prompt, null);
      if (result.kind !== 'absent' || run.wantsCancel()) return finish(run, prompt, result);
      engine.lost(submitted.reason);
      return lost(run, submitted.reason);
    }
    default:
      return submitted satisfies never;
  }
}

/** Resolves once the job may run beside the jobs in the engine's other lanes; see `besideOthers`. */
async function awaitTurn(run: Run): Promise<'go' | 'yield' | 'stopped'> {
  const { context, engine, held } = run;
  for (;;) {
    if (run.wantsCancel() || run.leaving()) return 'stopped';
    const others = (await context.ledger.inLanes(lanesOf(engine.id))).filter(({ id }) => id !== held.job.id);
    const turn = besideOthers(held.job, others);
    if (turn !== 'wait') return turn;
    // What comes into the inbox is known by other means, or of a prompt that does not exist yet.
    run.inbox.drain();
    await run.inbox.wait(TURN_POLL_MS);
  }
}

async function resume(run: Run): Promise<void> {
  const { context, held } = run;
  const prepared = bindJob(context, held.job, new Map());
  if (!prepared.ok) return fail(run, prepared.error);
  context.log.info({ job: held.job.id, engine: run.engine.id }, 'resuming a run');
  const result = await follow(run, prepared.prompt, null);
  // Claimed, but not started as far as is known: the attempt does not count.
  if (result.kind === 'absent' && held.job.status === 'QUEUED' && !run.wantsCancel()) {
    return handBack(run, 'the gateway stopped before the engine had the prompt');
  }
  return finish(run, prepared.prompt, result);
}

function follow(run: Run, prompt: BoundPrompt, socket: EngineSocket | null): Promise<FollowResult> {
  const { context, engine, held, promptId, inbox, wantsCancel } = run;
  const previews = createPreviewKeeper(context.previews, context.limits.previewRate, context.now);
  return followPrompt({
    context,
    engine,
    held,
    promptId,
    plan: prompt.plan,
    inbox,
    previews,
    wantsCancel,
    socket,
  });
}

type Submitted =
  | { kind: 'accepted' }
  | { kind: 'rejected'; error: JobError }
  | { kind: 'unknown'; reason: string };

async function submit({ engine, promptId }: Run, prompt: BoundPrompt): Promise<Submitted> {
  try {
    const answer = await engine.client.submit({ promptId, clientId: promptId, graph: prompt.graph });
    switch (answer.kind) {
      case 'accepted':
        return { kind: 'accepted' };
      case 'rejected':
        return { kind: 'rejected', error: nameRejection(answer.rejection) };
      default:
        return answer satisfies never;
    }
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    return { kind: 'unknown', reason: error.message };
  }
}

async function finish(run: Run, prompt: BoundPrompt, result: FollowResult): Promise<void> {
  const { engine, promptId } = run;
  switch (result.kind) {
    case 'left':
      return;
    case 'unreachable':
      engine.abandon(promptId);
      engine.lost(result.reason);
      return lost(run, result.reason);
    case 'stuck': {
      const why = 'it does not stop a prompt that it was told to stop';
      engine.abandon(promptId);
      engine.lost(why);
      return result.exceeded === null ? canceled(run) : fail(run, jobError('TIMED_OUT', result.exceeded));
    }
    case 'absent':
      if (run.wantsCancel()) return canceled(run);
      if (result.exceeded !== null) return fail(run, jobError('TIMED_OUT', result.exceeded));
      return lost(run, 'the engine no longer knows the prompt: it was restarted');
    case 'ended':
      return settle(run, prompt, result);
    default:
      return result satisfies never;
  }
}

async function settle(
  run: Run,
  prompt: BoundPrompt,
  result: Extract<FollowResult, { kind: 'ended' }>,
): Promise<void> {
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
      context.log.warn({ job: held.job.id, engine: engine.id, exceptionType, node }, 'execution failed');
      // A node's message may repeat the prompt, so the report is logged at debug only; operators find it at the job.
      context.log.debug({ job: held.job.id, report }, 'report of the failed execution');
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

async function collect(
  run: Run,
  prompt: BoundPrompt,
  result: Extract<FollowResult, { kind: 'ended' }>,
): Promise<void> {
  const { context, engine, held } = run;
  try {
    const { artifacts, log } = context;
    const outputs = await collectOutputs(
      { client: engine.client, artifacts, log },
      held.job.id,
      result.entry,
      prompt.outputNode,
    );
    const at = context.now();
    const started = held.job.startedAt;
    if (started !== null) context.pace.measured(engine.id, held.job, 'JOB', 1, (at - started) / 1000);
    await held.apply({ type: 'completed', at, outputs, expiresAt: at + context.limits.jobTtlMs });
    engine.ranWell();
    await forget(run);
  } catch (error) {
    if (error instanceof OutputMissing) return fail(run, jobError('OUTPUT_MISSING', error.message));
    if (!(error instanceof EngineUnreachable)) throw error;
    engine.lost(error.message);
    await lost(run, `the engine became unreachable before its image was fetched (${error.message})`);
  }
}

async function fail(run: Run, error: JobError, engineReport: string | null = null): Promise<void> {
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

async function canceled(run: Run): Promise<void> {
  const at = run.context.now();
  await run.held.apply({ type: 'canceled', at, expiresAt: at + run.context.limits.jobTtlMs });
  await forget(run);
}

async function handBack(run: Run, reason: string): Promise<void> {
  const at = run.context.now();
  await run.held.apply({ type: 'handedBack', at, reason, expiresAt: at + run.context.limits.jobTtlMs });
}

async function lost(run: Run, reason: string): Promise<void> {
  const { context, held } = run;
  const at = context.now();
  const { maxAttempts, jobTtlMs } = context.limits;
  context.log.warn({ job: held.job.id, engine: run.engine.id, reason }, 'engine lost the job');
  await held.apply({ type: 'engineLost', at, reason, maxAttempts, expiresAt: at + jobTtlMs });
}

/** The job is no longer ours. A deleted one must stop using the GPU; one that was taken over must go on. */
async function giveUp(run: Run, { reason }: RunOver): Promise<void> {
  if (reason === 'fenced') return;
  const { engine, promptId } = run;
  await attempt(run, 'stop a deleted job', async () => {
    await stopPrompt(engine.client, promptId, engine.status().targetedInterrupt);
    const place = await findPrompt(engine.client, promptId);
    if (place.kind === 'running' || place.kind === 'pending') engine.abandon(promptId);
  });
}

/** The engine's history entry holds the whole graph: it is useless once the job has ended. */
async function forget(run: Run): Promise<void> {
  await attempt(run, 'forget the prompt', () => run.engine.client.deleteHistory(run.promptId));
}

/** Sends the engine a request on whose success the job does not depend. */
async function attempt({ context, engine }: Run, what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    context.log.warn({ engine: engine.id, reason: error.message }, `could not ${what}`);
  }
}
