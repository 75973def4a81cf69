import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JobRequest } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import type { LiveJob } from '../jobs/jobs.ts';
import { texts } from '../texts.ts';
import { ShownImage } from './shown-image.tsx';

type Input = JobRequest['images'][number];

/** The result over an input image, divided by a line that a slider moves. */
export function BeforeAfter({ job }: { readonly job: LiveJob }) {
  const { jobs } = useStudio();
  const inputs = useSignal<readonly Input[]>([]);
  const chosen = useSignal(0);
  const split = useSignal(50);
  useEffect(() => {
    let current = true;
    void jobs.request(job.id).then(request => {
      if (current) inputs.value = request?.images.filter(({ url }) => url !== null) ?? [];
    });
    return () => {
      current = false;
    };
  }, [job.id]);
  const before = inputs.value[chosen.value];

  return (
    <>
      <ShownImage job={job.snapshot.value} prompt={job.prompt}>
        {before?.url != null && (
          <div class="before-after" style={{ '--split': `${split.value}%` }}>
            <img class="before-image" src={before.url} alt={texts.result.before(before.slot)} />
            <input
              type="range"
              class="split panzoom-exclude"
              aria-label={texts.result.split}
              min={0}
              max={100}
              value={split.value}
              onInput={event => {
                split.value = event.currentTarget.valueAsNumber;
              }}
            />
          </div>
        )}
      </ShownImage>
      {inputs.value.length > 1 && (
        <fieldset class="before-choice panzoom-exclude">
          <legend class="hidden">{texts.result.beforeChoice}</legend>
          {inputs.value.map(({ slot }, index) => (
            <label key={slot} class="chip">
              <input
                type="radio"
                name="before"
                class="hidden"
                checked={index === chosen.value}
                onChange={() => {
                  chosen.value = index;
                }}
              />
              {texts.prompt.reference(slot)}
            </label>
          ))}
        </fieldset>
      )}
    </>
  );
}
