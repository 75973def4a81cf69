import { type CallToolResult, McpServer, type ServerContext } from '@modelcontextprotocol/server';
import {
  editArguments,
  imageArguments,
  imageResult,
  jobArguments,
  jobResult,
  LEAVING,
  SIDE,
  watchArguments,
  workflowsResult,
} from './arguments.ts';
import type { Edits, JobView } from './edits.ts';
import {
  failure,
  imageContent,
  imageFields,
  JOB_NOT_FOUND,
  jobAsResult,
  messageOf,
  workflowsAsResult,
} from './results.ts';

export interface ToolServerOptions {
  readonly edits: Edits;
  readonly version: string;
  /** Aborts when calls in flight must send their results at once; their jobs go on. */
  readonly ending: AbortSignal;
  /** Given each call of a tool, which never rejects. */
  readonly onCall?: (call: Promise<unknown>) => void;
}

const INSTRUCTIONS =
  'Edits images by prompts. edit_image starts a job and waits for it; if its result says that the job has not ended, call watch_edit with the job_id. A completed job’s result has the image, scaled down, and the URL of the whole one. "job:<job_id>" as an image edits the result of an earlier job.';

/** A server of the tools, for one connection or one request. */
export function createToolServer({ edits, version, ending, onCall }: ToolServerOptions): McpServer {
  const server = new McpServer(
    { name: 'qwen-edit', title: 'Qwen Image Edit', version },
    { capabilities: { tools: { listChanged: false } }, instructions: INSTRUCTIONS },
  );

  /** A handler whose errors are described, so that none shows the inside of the gateway. */
  const guarded =
    <Arguments>(handle: (given: Arguments, context: ServerContext) => Promise<CallToolResult>) =>
    (given: Arguments, context: ServerContext): Promise<CallToolResult> => {
      const call = handle(given, context).catch(error => failure(edits.describeError(error)));
      onCall?.(call);
      return call;
    };

  /** Follows a job until it ends, `seconds` have passed, or the call has to end. Null: there is no such job. */
  async function follow(id: string, seconds: number, context: ServerContext): Promise<JobView | null> {
    if (seconds === 0) return edits.find(id);
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), seconds * 1000);
    const report = progressReporter(context);
    let last: JobView | null = null;
    try {
      const stop = AbortSignal.any([context.mcpReq.signal, ending, over.signal]);
      for await (const job of edits.watch(id, stop)) {
        last = job;
        await report(job);
      }
    } finally {
      clearTimeout(timer);
    }
    return last ?? edits.find(id);
  }

  server.registerTool(
    'edit_image',
    {
      title: 'Edit images',
      description: `Edits 1 to 3 images by a prompt, with a diffusion model. Takes seconds to minutes: sends progress notifications, and waits up to wait_seconds. ${LEAVING}`,
      inputSchema: editArguments(edits.imageForms),
      outputSchema: jobResult,
      annotations: {
        readOnlyHint: false,
        destructiveHint: false,
        idempotentHint: false,
        openWorldHint: true,
      },
    },
    guarded(async (given, context) => {
      const { signal } = context.mcpReq;
      const submitted = await edits.submit(given, signal);
      if (!submitted.ok) return failure(submitted.message);
      const { job } = submitted;
      const last = await follow(job.id, given.wait_seconds, context);
      if (signal.aborted && !given.keep_running) await edits.cancel(job.id);
      return last === null ? JOB_NOT_FOUND : jobAsResult(edits, last, SIDE.default);
    }),
  );

  server.registerTool(
    'watch_edit',
    {
      title: 'Watch an edit',
      description:
        'Waits up to wait_seconds for the end of a job, with progress notifications, and returns its state and its image. Cancelling this call does not cancel the job.',
      inputSchema: watchArguments,
      outputSchema: jobResult,
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    guarded(async (given, context) => {
      const last = await follow(given.job_id, given.wait_seconds, context);
      return last === null ? JOB_NOT_FOUND : jobAsResult(edits, last, SIDE.default);
    }),
  );

  server.registerTool(
    'get_image',
    {
      title: 'Get an edited image',
      description:
        'Returns an output image of a completed job as JPEG, scaled down to max_side, with the URL of the whole image.',
      inputSchema: imageArguments,
      outputSchema: imageResult,
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    guarded(async ({ job_id: id, index, max_side: side }) => {
      const job = await edits.find(id);
      if (job === null) return JOB_NOT_FOUND;
      if (job.status !== 'COMPLETED') return failure(`JOB_NOT_FINAL: ${messageOf(job)}`);
      const image = job.images[index];
      if (image === undefined) {
        return failure(`INVALID_INPUT: index takes 0 to ${job.images.length - 1} for this job, got ${index}`);
      }
      const content = await imageContent(edits, id, index, image, side);
      return { content, structuredContent: imageFields(image) };
    }),
  );

  server.registerTool(
    'cancel_edit',
    {
      title: 'Cancel an edit',
      description: 'Stops a job. Has no effect on a job that has ended.',
      inputSchema: jobArguments,
      annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
    },
    guarded(async ({ job_id: id }) => {
      const job = await edits.cancel(id);
      if (job === null) return JOB_NOT_FOUND;
      return { content: [{ type: 'text', text: `The job ${id} is ${cancelText(job)}.` }] };
    }),
  );

  server.registerTool(
    'list_workflows',
    {
      title: 'List workflows',
      description: 'Lists the workflows that edits can name, with their parameters, most preferred first.',
      outputSchema: workflowsResult,
      annotations: { readOnlyHint: true, openWorldHint: false },
    },
    context => guarded(async () => workflowsAsResult(await edits.workflows()))({}, context),
  );

  return server;
}

function cancelText({ status }: JobView): string {
  switch (status) {
    case 'CANCELED':
      return 'canceled';
    case 'COMPLETED':
      return 'completed: it had ended before';
    case 'ERROR':
      return 'failed: it had ended before';
    case 'QUEUED':
    case 'PROCESSING':
      return 'being canceled: it ends when its engine has stopped';
    default:
      return status satisfies never;
  }
}

/** Sends a job’s progress where the call asks for it. It rises with each notification, as the protocol requires. */
function progressReporter({ mcpReq }: ServerContext): (job: JobView) => Promise<void> {
  const token = mcpReq._meta?.progressToken;
  let sent = -1;
  return async job => {
    if (token === undefined || job.progress <= sent || mcpReq.signal.aborted) return;
    sent = job.progress;
    await mcpReq.notify({
      method: 'notifications/progress',
      params: { progressToken: token, progress: job.progress, total: 100, message: messageOf(job) },
    });
  };
}
