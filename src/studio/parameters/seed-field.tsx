import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';

/** A random seed for each edit, or one that stays: typed, or that of the edit which is shown. */
export function SeedField() {
  const { parameters, jobs } = useStudio();
  const seed = parameters.seed.value;
  const fault = parameters.faults.value.seed;
  const shown = jobs.selected.value;

  async function reuse(): Promise<void> {
    if (shown === null) return;
    const request = await jobs.request(shown.id);
    if (request !== null) parameters.setSeed(request.seed);
  }

  return (
    <div class="field">
      <label class="field-label" for="seed">
        {texts.parameters.seed}
      </label>
      <input
        id="seed"
        type="text"
        inputMode="numeric"
        autocomplete="off"
        placeholder={texts.parameters.random}
        value={seed ?? ''}
        aria-invalid={fault !== undefined}
        onInput={event => {
          const text = event.currentTarget.value.trim();
          parameters.setSeed(text === '' ? null : text);
        }}
      />
      <div class="field-ways">
        {seed === null ? (
          <Button kind="quiet" icon="lock" onClick={() => parameters.setSeed(randomSeed())}>
            {texts.parameters.lockSeed}
          </Button>
        ) : (
          <Button kind="quiet" icon="dice" onClick={() => parameters.setSeed(null)}>
            {texts.parameters.randomSeed}
          </Button>
        )}
        {shown !== null && (
          <Button kind="quiet" icon="reset" onClick={() => void reuse()}>
            {texts.parameters.reuseSeed}
          </Button>
        )}
      </div>
      {fault !== undefined && (
        <span class="fault" role="alert">
          {fault}
        </span>
      )}
    </div>
  );
}

/** Short enough to be read aloud or noted down. */
function randomSeed(): string {
  return String(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0);
}
