import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** The button that submits the edit. */
export function SubmitBar() {
  const { submit } = useStudio();
  return (
    <div class="submit-bar">
      {submit.fault.value !== null && (
        <p class="fault" role="alert">
          {submit.fault}
        </p>
      )}
      <button
        type="submit"
        class="button button-primary submit"
        disabled={!submit.ready.value}
        aria-busy={submit.sending.value}
      >
        {texts.submit.edit}
      </button>
    </div>
  );
}
