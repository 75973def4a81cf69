import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** What the result should not have. */
export function NegativeField() {
  const { prompt } = useStudio();
  return (
    <label class="field">
      <span class="field-label">{texts.prompt.negative}</span>
      <textarea
        rows={2}
        placeholder={texts.prompt.negativePlaceholder}
        value={prompt.negative}
        onInput={event => {
          prompt.negative.value = event.currentTarget.value;
        }}
      />
    </label>
  );
}
