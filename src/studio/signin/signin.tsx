import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';

/** Asks for a key. Shown in place of the page while the gateway wants one. */
export function SignIn() {
  const { session } = useStudio();
  const input = useRef<HTMLInputElement>(null);
  const key = useSignal('');
  const fault = useSignal<string | null>(null);
  const busy = useSignal(false);
  useEffect(() => input.current?.focus(), []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const given = key.value.trim();
    if (given === '' || busy.value) return;
    busy.value = true;
    fault.value = await session.signIn(given);
    busy.value = false;
    input.current?.select();
  }

  const expired = session.key.value !== null && !busy.value;
  return (
    <form class="signin" onSubmit={event => void submit(event)}>
      <h1>{texts.signin.title}</h1>
      <p class="quiet">{expired ? texts.signin.expired : texts.signin.about}</p>
      <label class="field">
        <span class="field-label">{texts.signin.key}</span>
        <input
          ref={input}
          type="password"
          autocomplete="current-password"
          required
          aria-invalid={fault.value !== null}
          aria-describedby={fault.value === null ? undefined : 'signin-fault'}
          value={key}
          onInput={event => {
            key.value = event.currentTarget.value;
            fault.value = null;
          }}
        />
      </label>
      {fault.value !== null && (
        <p class="fault" id="signin-fault" role="alert">
          {fault}
        </p>
      )}
      <Button kind="primary" type="submit" aria-busy={busy.value}>
        {texts.signin.submit}
      </Button>
    </form>
  );
}
