import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';

/** A random seed for each edit, or one that stays. */
export function SeedField() {
  const { parameters } = useStudio();
  const seed = parameters.seed.value;
  const fault = parameters.faults.value.seed;
  return (
    <div class="field">
      <div class="field-head">
        <label class="field-label" for="seed">
          {texts.parameters.seed}
        </label>
        {seed !== null && (
          <IconButton
            icon="dice"
            label={texts.parameters.randomSeed}
            onClick={() => parameters.setSeed(null)}
          />
        )}
      </div>
      <input
        id="seed"
        type="text"
        inputMode="numeric"
        pattern="[0-9]{1,20}"
        autocomplete="off"
        placeholder={texts.parameters.random}
        value={seed ?? ''}
        onInput={event => {
          const text = event.currentTarget.value.trim();
          parameters.setSeed(text === '' ? null : text);
        }}
      />
      {fault !== undefined && (
        <span class="fault" role="alert">
          {fault}
        </span>
      )}
    </div>
  );
}
