import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Icon } from '../ui/icon.tsx';
import { SteadyImage } from '../ui/steady-image.tsx';
import { thumbnailOf } from '../ui/thumbnail.ts';
import type { LiveJob } from './jobs.ts';

/** Of a thumbnail, in pixels. */
const SIDE = 56;

/** The newest jobs as a strip of thumbnails. */
export function Tray() {
  const { jobs } = useStudio();
  const list = jobs.list.value;
  if (list.length === 0) return null;
  return (
    <nav class="tray" aria-label={texts.jobs.tray}>
      <ul>
        {list.map(job => (
          <TrayItem key={job.id} job={job} />
        ))}
      </ul>
    </nav>
  );
}

function TrayItem({ job }: { readonly job: LiveJob }) {
  const { jobs, viewer } = useStudio();
  const { status, images, preview, progress } = job.snapshot.value;
  const source = images[0] === undefined ? preview?.url : thumbnailOf(images[0].url, SIDE);
  const current =
    viewer.mode.value === 'compare'
      ? viewer.compared.value.includes(job.id)
      : jobs.selected.value?.id === job.id;
  return (
    <li>
      <button
        type="button"
        class={`tray-item tray-${status.toLowerCase()}`}
        aria-current={current ? 'true' : undefined}
        title={job.prompt}
        onClick={() => viewer.pick(job.id)}
      >
        {source === undefined ? (
          <Icon name={status === 'ERROR' || status === 'CANCELED' ? 'alert' : 'wand'} />
        ) : (
          <SteadyImage src={source} alt="" onFailed={() => jobs.renew(job.id)} />
        )}
        {status === 'PROCESSING' && <span class="tray-progress" style={{ width: `${progress}%` }} />}
        <span class="hidden">{`${texts.jobs.status(status)}: ${job.prompt}`}</span>
      </button>
    </li>
  );
}
