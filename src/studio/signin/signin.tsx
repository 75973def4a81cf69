import { useSignal } from '@preact/signals';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';

/** Asks for a key. Shown in place of the page while the gateway wants one. */
export function SignIn() {
  const { session } = useStudio();
  const key = useSignal('');
  const submit = (event: Event): void => {
    event.preventDefault();
    if (key.value.trim() !== '') session.signIn(key.value.trim());
  };
  return (
    <form class="signin" onSubmit={submit}>
      <h1>{texts.signin.title}</h1>
      <p class="quiet">{texts.signin.about}</p>
      <label class="field">
        <span class="field-label">{texts.signin.key}</span>
        <input
          type="password"
          autocomplete="current-password"
          required
          value={key}
          onInput={event => {
            key.value = event.currentTarget.value;
          }}
        />
      </label>
      {session.key.value !== null && <p class="fault">{texts.signin.rejected}</p>}
      <Button kind="primary" type="submit">
        {texts.signin.submit}
      </Button>
    </form>
  );
}
