import { computed, type ReadonlySignal, signal } from '@preact/signals';
import type { Client, EditResult } from '../../client/client.ts';
import type { Announcer } from '../app/announcer.ts';
import type { Images } from '../images/images.ts';
import type { Masks } from '../mask/masks.ts';
import type { Parameters } from '../parameters/parameters.ts';
import type { Prompt } from '../prompt/prompt.ts';
import type { Session } from '../signin/session.ts';
import { texts } from '../texts.ts';
import type { Jobs } from './jobs.ts';

/** The way of an edit from the form to a job. */
export interface Submit {
  /** Whether there is enough to submit. */
  readonly ready: ReadonlySignal<boolean>;
  readonly sending: ReadonlySignal<boolean>;
  /** Why the last edit was rejected, where no field is at fault. */
  readonly fault: ReadonlySignal<string | null>;
  /** Submits the edit. A rejection is shown at the field that it names. */
  send(): Promise<void>;
}

type Rejection = Exclude<EditResult, { readonly __typename: 'EditJob' }>;

export function createSubmit({
  client,
  session,
  images,
  masks,
  prompt,
  parameters,
  jobs,
  announcer,
}: {
  readonly client: Client;
  readonly session: Session;
  readonly images: Images;
  readonly masks: Masks;
  readonly prompt: Prompt;
  readonly parameters: Parameters;
  readonly jobs: Jobs;
  readonly announcer: Announcer;
}): Submit {
  const sending = signal(false);
  const fault = signal<string | null>(null);
  const ready = computed(() => images.list.value.length > 0 && prompt.text.value.trim() !== '');

  function reject(rejection: Rejection): void {
    const field = 'field' in rejection ? (rejection.field ?? '') : '';
    const image = /^images\.(\d)/.exec(field)?.[1];
    const parameter = /^(?:parameters\.)?(\w+)$/.exec(field)?.[1];
    if (image !== undefined) images.reject(Number(image), rejection.message);
    else if (field === 'mask') masks.reject(rejection.message);
    else if (field === 'prompt' || field === 'negativePrompt') prompt.fault.value = rejection.message;
    else if (parameter !== undefined && parameter !== 'images')
      parameters.reject(parameter, rejection.message);
    else fault.value = rejection.message;
    announcer.say(rejection.message);
  }

  async function edit(): Promise<void> {
    const unsendable = parameters.check();
    if (unsendable !== null) return announcer.say(unsendable);
    const inputs = await images.inputs();
    if (inputs === null) return announcer.say(texts.images.notUsable);
    const words = prompt.text.value.trim();
    const result = await client.edit({
      images: inputs,
      mask: masks.mask.peek()?.png ?? null,
      prompt: words,
      negativePrompt: prompt.negative.value,
      ...parameters.input(),
    });
    if (result.__typename === 'EditJob') jobs.add(result, words);
    else reject(result);
  }

  return {
    ready,
    sending,
    fault,
    async send() {
      if (sending.value || !ready.value) return;
      sending.value = true;
      fault.value = null;
      try {
        await session.insist(edit);
      } catch (error) {
        fault.value = texts.failure(error);
      } finally {
        sending.value = false;
      }
    },
  };
}
