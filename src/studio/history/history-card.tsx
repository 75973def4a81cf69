import { useComputed, useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { isFinal, type JobSnapshot } from '../../client/client.ts';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import { DeleteQuestion } from '../ui/delete-question.tsx';
import { Icon } from '../ui/icon.tsx';
import { thumbnailOf } from '../ui/thumbnail.ts';
import type { HistoryItem } from './history.ts';

/** Of a thumbnail, in CSS pixels. */
const SIDE = 160;

/** A job: its result or how far it is, its prompt, and a way to delete it. */
export function HistoryCard({ item }: { readonly item: HistoryItem }) {
  const { history, jobs } = useStudio();
  const card = useRef<HTMLLIElement>(null);
  const asked = useSignal(false);
  // The editor's own watch of a running job is faster, and has previews.
  const live = useComputed(() => {
    const snapshot = item.snapshot.value;
    const watched = isFinal(snapshot) ? undefined : jobs.list.value.find(({ id }) => id === item.id);
    return watched?.snapshot.value ?? snapshot;
  });
  const job = live.value;

  function remove(): void {
    const next = card.current?.nextElementSibling ?? card.current?.previousElementSibling;
    next?.querySelector<HTMLElement>('.history-open')?.focus();
    void history.remove(item.id);
  }

  function keep(): void {
    asked.value = false;
    card.current?.querySelector<HTMLElement>('.history-open')?.focus();
  }

  return (
    <li
      ref={card}
      class="history-card"
      onKeyDown={event => {
        if (event.key === 'Delete') asked.value = true;
      }}
    >
      <a class="history-open" href={`#edit/${encodeURIComponent(item.id)}`} title={item.prompt}>
        <span class="history-image">
          <Picture job={job} onBroken={() => void history.refresh(item.id)} />
        </span>
        <span class="history-prompt">{item.prompt}</span>
        <span class="history-line">
          <span class={`history-status status-${job.status.toLowerCase()}`}>{texts.history.line(job)}</span>
          {job.label !== null && <span class="history-label">{job.label}</span>}
        </span>
      </a>
      {asked.value ? (
        <DeleteQuestion
          class="history-ask"
          onDelete={remove}
          onKeep={keep}
          onLeave={() => {
            asked.value = false;
          }}
        />
      ) : (
        <IconButton
          class="history-remove"
          icon="trash"
          label={texts.history.remove}
          onClick={() => {
            asked.value = true;
          }}
        />
      )}
    </li>
  );
}

function Picture({ job, onBroken }: { readonly job: JobSnapshot; readonly onBroken: () => void }) {
  const url = job.images[0] === undefined ? job.preview?.url : thumbnailOf(job.images[0].url, SIDE);
  return (
    <>
      {url === undefined ? (
        <Icon name={job.status === 'ERROR' || job.status === 'CANCELED' ? 'alert' : 'wand'} />
      ) : (
        <img
          src={url}
          alt=""
          loading="lazy"
          decoding="async"
          width={SIDE}
          height={SIDE}
          onError={job.images[0] === undefined ? undefined : onBroken}
        />
      )}
      {job.status === 'PROCESSING' && (
        <span
          class="history-progress"
          role="progressbar"
          aria-label={texts.jobs.progress}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(job.progress)}
        >
          <span style={{ width: `${job.progress}%` }} />
        </span>
      )}
    </>
  );
}
