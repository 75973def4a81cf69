import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** What the result should not have. */
export function NegativeField() {
  const { prompt } = useStudio();
  return (
    <div class="field">
      <label class="field-label" for="negative">
        {texts.prompt.negative}
      </label>
      <textarea
        id="negative"
        rows={2}
        placeholder={texts.prompt.negativePlaceholder}
        value={prompt.negative}
        onInput={event => {
          prompt.negative.value = event.currentTarget.value;
        }}
      />
    </div>
  );
}
