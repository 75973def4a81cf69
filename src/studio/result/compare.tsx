import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import { ShownImage } from './shown-image.tsx';
import { isComparable } from './viewer.ts';

/** Results beside each other; zooming one zooms all. */
export function Compare() {
  const { jobs, viewer } = useStudio();
  const shown = viewer.compared.value.flatMap(
    id => jobs.list.value.find(job => job.id === id && isComparable(job)) ?? [],
  );
  return (
    <ul class="compared">
      {shown.map(job => (
        <li key={job.id}>
          <div class="compared-image">
            <ShownImage job={job.snapshot.value} prompt={job.prompt} />
          </div>
          <p class="compared-words">
            <button type="button" class="link" onClick={() => open(job.id)}>
              {job.prompt}
            </button>
            {shown.length > 1 && (
              <IconButton
                icon="close"
                label={texts.result.leaveComparison}
                onClick={() => viewer.pick(job.id)}
              />
            )}
          </p>
        </li>
      ))}
      {shown.length < 2 && <li class="notice quiet">{texts.result.compareAbout}</li>}
    </ul>
  );

  function open(id: string): void {
    viewer.show('result');
    jobs.select(id);
  }
}
