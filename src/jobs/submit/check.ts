import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import type { Policy } from '../job.ts';
import { forbidden } from '../limits.ts';
import { type EditInput, fillIn, type Settings } from '../request.ts';
import { type Rejected, reject } from './outcome.ts';

/** Why a webhook is rejected: the field, and a message to follow its name. */
export interface WebhookFault {
  readonly field: 'webhook' | 'webhook.url';
  readonly message: string;
}

/** Why a webhook is rejected; null if it is accepted. */
export type RejectWebhook = (url: string) => WebhookFault | null;

/** What of an edit can be checked before its images are loaded: the request without them, or why it is rejected. */
export function checkEdit(
  input: EditInput,
  workflows: WorkflowCatalog,
  rejectWebhook: RejectWebhook,
  policy: Policy | undefined,
): { ok: true; settings: Settings } | Rejected {
  const masked = input.mask != null;
  const chosen = workflows.choose(input.workflow, masked);
  if (!chosen.ok) return reject('WORKFLOW_INVALID', chosen.message, 'workflow');
  const settings = fillIn(input, chosen.workflow);
  if (!settings.ok) return reject('INVALID_INPUT', settings.message, settings.field);
  const unsuited = maskFault(chosen.workflow, masked, workflows);
  if (unsuited !== null) return reject('INVALID_INPUT', unsuited, 'mask');
  const { name: workflow } = chosen.workflow;
  const denied = forbidden(policy, { workflow, priority: input.priority });
  if (denied !== null) return { ok: false, failure: denied };
  const fault = input.webhook === null ? null : rejectWebhook(input.webhook.url);
  if (fault !== null) return reject('INVALID_INPUT', fault.message, fault.field);
  return { ok: true, settings: settings.values };
}

/** Why a workflow does not suit an edit with a mask, or one without. */
function maskFault({ name, manifest }: Workflow, masked: boolean, workflows: WorkflowCatalog): string | null {
  if (masked === (manifest.mask !== undefined)) return null;
  if (!masked) return `is missing: the workflow ${name} takes a mask of what to change`;
  const names = workflows.all().flatMap(other => (other.manifest.mask === undefined ? [] : [other.name]));
  const others = names.length === 0 ? 'no workflow here takes one' : `it is one of ${names.join(', ')}`;
  return `is not an input of the workflow ${name}: ${others}`;
}
