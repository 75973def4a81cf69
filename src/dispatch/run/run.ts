import type { Rejection } from '../../comfyui/answers.ts';
import type { EngineSocket } from '../../comfyui/socket.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import { besideOthers, lanesOf } from '../../jobs/claims.ts';
import type { Job } from '../../jobs/job.ts';
import type { Lease } from '../../jobs/ports.ts';
import { loggedJob } from '../../jobs/trace.ts';
import type { BoundPrompt } from '../../workflows/bind/bind.ts';
import { whyLeft } from '../lanes/moves.ts';
import { nameRejection } from './failures.ts';
import { type FollowResult, followPrompt } from './follow.ts';
import { createPreviewKeeper, holdJob, RunOver } from './held-job.ts';
import { createInbox, openRunSocket, type RunSignal } from './inbox.ts';
import { findPrompt, stopPrompt } from './lookup.ts';
import { bindJob, lackedImage, type Uploads, uploadInputs } from './prepare.ts';
import { attempt, canceled, fail, finish, handBack, lost, nameOfPrompt, type Run } from './settle.ts';

/** How often a job that has its engine for itself looks whether the others have ended. */
const TURN_POLL_MS = 250;
/** How long an engine may still take a prompt after a submit without a clear answer, in milliseconds. */
const ARRIVAL_MS = 3_000;

/**
 * Drives a claimed job to its end, or back to the queue, and resolves when the lane is free again. A job that the lane's
 * previous holder left (`left`) is looked up and resumed. When `signal` aborts, the job is left as it is for the next
 * holder of the lane. Never rejects because of the job or the engine.
 */
export async function runJob(
  { context, engine, moves }: Pick<Run, 'context' | 'engine' | 'moves'>,
  claimed: Job,
  lease: Lease,
  left: boolean,
  signal: AbortSignal,
): Promise<void> {
  // A job that an earlier version claimed has no client id.
  const clientId = claimed.clientId ?? claimed.promptId;
  if (clientId === null) throw new Error(`Job ${claimed.id} has a lane and no prompt id`);
  const inbox = createInbox<RunSignal>();
  let cancel = claimed.cancelRequested;
  let gone = false;
  const unwanted = new AbortController();
  const unwatch = await context.feed.watch(claimed.id, {
    changed(job) {
      if (!job.cancelRequested || cancel) return;
      cancel = true;
      unwanted.abort();
      inbox.push({ kind: 'cancel' });
    },
    gone() {
      gone = true;
      unwanted.abort();
      inbox.push({ kind: 'gone' });
    },
  });
  const leave = (): void => inbox.push({ kind: 'leave' });
  signal.addEventListener('abort', leave);
  const run: Run = {
    context,
    engine,
    moves,
    held: holdJob(context.ledger, claimed, lease, signal),
    clientId,
    inbox,
    signal,
    unwanted: AbortSignal.any([signal, unwanted.signal]),
    wantsCancel: () => cancel || gone,
    leaving: () => signal.aborted,
  };
  let mayHavePreview = left;
  try {
    // A cancel between the claim and the watch would be missed otherwise.
    const present = await context.ledger.get(claimed.id);
    if (present === null) throw new RunOver('gone');
    cancel ||= present.cancelRequested;
    if (cancel) unwanted.abort();
    await (left ? resume(run) : begin(run));
  } catch (error) {
    if (!(error instanceof RunOver)) throw error;
    mayHavePreview = true;
    await giveUp(run, error);
  } finally {
    signal.removeEventListener('abort', leave);
    unwatch();
    if (mayHavePreview || run.held.job.previewRevisions > 0) {
      await context.previews.drop(claimed.id).catch(error => {
        context.log.debug({ ...loggedJob(claimed), err: error }, 'the preview was not removed: it expires');
      });
    }
  }
}

async function begin(run: Run): Promise<void> {
  const { context, engine, held } = run;
  let uploaded: Uploads;
  let prompt: BoundPrompt;
  let socket: EngineSocket | null;
  try {
    const turn = await awaitTurn(run);
    if (turn === 'yield') return handBack(run, 'another job runs alone on the engine');
    if (turn === 'stopped') return stopped(run);
    const uploads = await context.observer.around('upload', held.job, () => uploadInputs(run));
    if (uploads.ok === 'stopped') return stopped(run);
    if (!uploads.ok) return fail(run, uploads.error);
    uploaded = uploads;
    const prepared = bindJob(context, held.job, engine, uploads.names);
    if (!prepared.ok) return fail(run, prepared.error);
    prompt = prepared.prompt;
    await held.apply({ type: 'bound', at: context.now(), size: prompt.size });
    if (run.wantsCancel() || engine.leaving() !== null) return stopped(run);
    socket = await openSocket(run);
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    engine.lost(error.message);
    // Nothing was submitted: another engine may take the job at once. One that answers may do so for ever: that counts.
    return error.isDown ? handBack(run, error.message) : lost(run, error.message);
  }
  const submitted = await submit(run, prompt);
  switch (submitted.kind) {
    case 'accepted':
      // Saved before anything else: a prompt under an id that is not known is found only while the engine keeps it.
      await held.apply({ type: 'renamed', at: context.now(), promptId: submitted.promptId });
      return finish(run, prompt, await follow(run, prompt, socket, { confirmed: true, arrivesInMs: 0 }));
    case 'rejected':
      await socket?.close();
      return rejected(run, uploaded, prompt, submitted.rejection);
    case 'unsent':
      await socket?.close();
      engine.lost(submitted.reason);
      return handBack(run, submitted.reason);
    case 'denied':
      await socket?.close();
      engine.lost(submitted.reason);
      return lost(run, submitted.reason);
    case 'unknown': {
      // The response was lost, not necessarily the prompt: it is looked up, never submitted blindly again.
      await socket?.close();
      const result = await follow(run, prompt, null, { confirmed: false, arrivesInMs: ARRIVAL_MS });
      if (result.kind === 'ended') context.observer.missed(engine.id, 'prompt');
      if (result.kind !== 'absent' || run.wantsCancel()) return finish(run, prompt, result);
      engine.abandon(nameOfPrompt(run));
      engine.lost(submitted.reason);
      return lost(run, submitted.reason);
    }
    default:
      return submitted satisfies never;
  }
}

/** Ends a run whose graph the engine rejected. One that lacks an input image gets it again with the next run. */
async function rejected(run: Run, uploads: Uploads, { graph }: BoundPrompt, why: Rejection): Promise<void> {
  const { engine, held } = run;
  const lacked = lackedImage(held.job, uploads, graph, why);
  if (lacked === null) return fail(run, nameRejection(why));
  engine.mayHaveRestarted();
  const reason = `the engine no longer has ${lacked.label}`;
  // An engine may lose what it was just sent each time: that counts.
  return lacked.remembered ? handBack(run, reason) : lost(run, reason);
}

/** Ends a run that the engine has no prompt of: it was canceled, the engine leaves, or this process ends. */
async function stopped(run: Run): Promise<void> {
  if (run.leaving()) return handBack(run, 'the gateway stops');
  return run.wantsCancel() ? canceled(run) : handBack(run, whyLeft(run.engine));
}

/**
 * Opens the socket before the submit, so that no event is missed. Null when it does not open and the engine responds
 * otherwise: the run is then followed by polling, and the socket tried again. Throws EngineUnreachable.
 */
async function openSocket({ engine, clientId, inbox, signal }: Run): Promise<EngineSocket | null> {
  if (!engine.status().live) return null;
  try {
    return await openRunSocket(engine, clientId, inbox, signal);
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    await engine.client.systemStats();
    return null;
  }
}

/** Resolves once the job may run beside the jobs in the engine's other lanes. Only a suspect waits; see `besideOthers`. */
async function awaitTurn(run: Run): Promise<'go' | 'yield' | 'stopped'> {
  const { context, engine, held } = run;
  for (;;) {
    if (run.wantsCancel() || run.leaving() || engine.leaving() !== null) return 'stopped';
    if (!held.job.suspect) return 'go';
    const others = (await context.ledger.inLanes(lanesOf(engine.id))).filter(({ id }) => id !== held.job.id);
    const turn = besideOthers(held.job, others);
    if (turn !== 'wait') return turn;
    // What comes into the inbox is known by other means, or of a prompt that does not exist yet.
    run.inbox.drain();
    await run.inbox.wait(TURN_POLL_MS);
  }
}

async function resume(run: Run): Promise<void> {
  const { context, held, clientId } = run;
  const prepared = bindJob(context, held.job, run.engine, new Map());
  if (!prepared.ok) return fail(run, prepared.error);
  context.log.info({ ...loggedJob(held.job), engine: run.engine.id }, 'resuming a run');
  // Until the engine answered, the requested id is stored, which it need not use.
  const confirmed = held.job.status === 'PROCESSING' || held.job.promptId !== clientId;
  const result = await follow(run, prepared.prompt, null, { confirmed, arrivesInMs: 0 });
  // Claimed, but not started as far as is known: the attempt does not count.
  if (result.kind === 'absent' && held.job.status === 'QUEUED' && !run.wantsCancel()) {
    return handBack(run, 'its lane changed hands before the engine had the prompt');
  }
  return finish(run, prepared.prompt, result);
}

function follow(
  run: Run,
  prompt: BoundPrompt,
  socket: EngineSocket | null,
  submit: { confirmed: boolean; arrivesInMs: number },
): Promise<FollowResult> {
  const { context, engine, moves, held, clientId, inbox, wantsCancel } = run;
  const previews = createPreviewKeeper(context.previews, context.limits.previewRate, context.now);
  return followPrompt({
    context,
    engine,
    moves,
    held,
    clientId,
    plan: prompt.plan,
    outputNode: prompt.outputNode,
    inbox,
    previews,
    wantsCancel,
    socket,
    ...submit,
  });
}

type Submitted =
  | { kind: 'accepted'; promptId: string }
  | { kind: 'rejected'; rejection: Rejection }
  /** The engine did not get it. */
  | { kind: 'unsent'; reason: string }
  /** It was answered, and not taken: by a proxy, for example. */
  | { kind: 'denied'; reason: string }
  | { kind: 'unknown'; reason: string };

async function submit({ engine, clientId }: Run, prompt: BoundPrompt): Promise<Submitted> {
  try {
    const answer = await engine.client.submit({ promptId: clientId, clientId, graph: prompt.graph });
    return answer;
  } catch (error) {
    if (!(error instanceof EngineUnreachable)) throw error;
    const { status, message: reason } = error;
    if (error.refused) return { kind: 'unsent', reason };
    // A 408 says that time was over, not what became of the request.
    if (status !== null && status >= 400 && status < 500 && status !== 408) return { kind: 'denied', reason };
    return { kind: 'unknown', reason };
  }
}

/**
 * The job is no longer ours. A deleted one must stop using the GPU, and leaves no images that were fetched meanwhile; one that was
 * taken over must go on.
 */
async function giveUp(run: Run, { reason }: RunOver): Promise<void> {
  if (reason === 'fenced') return;
  const { engine } = run;
  await attempt(run, 'stop a deleted job', async () => {
    const place = await findPrompt(engine.client, nameOfPrompt(run));
    if (!('promptId' in place) || place.kind === 'ended') return;
    await stopPrompt(engine.client, place.promptId, engine.status().targetedInterrupt);
    const after = await findPrompt(engine.client, nameOfPrompt(run));
    if (after.kind === 'running' || after.kind === 'pending') engine.abandon(nameOfPrompt(run));
  });
  await dropOutputs(run);
}

async function dropOutputs({ context, held }: Run): Promise<void> {
  const { artifacts, log } = context;
  try {
    const fetched = await artifacts.list(`outputs/${held.job.id}`);
    await Promise.all(fetched.map(({ key }) => artifacts.remove(key)));
  } catch (error) {
    log.error({ ...loggedJob(held.job), err: error }, 'images of a deleted job are left in the store');
  }
}
