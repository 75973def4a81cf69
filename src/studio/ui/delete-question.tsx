import { useLayoutEffect, useRef } from 'preact/hooks';
import { texts } from '../texts.ts';
import { Button } from './button.tsx';

interface Props {
  readonly class?: string;
  readonly onDelete: () => void;
  /** By its button, or by Escape. */
  readonly onKeep: () => void;
  /** The focus went elsewhere. */
  readonly onLeave: () => void;
}

/** Asks whether to delete something. It has the focus from the start. */
export function DeleteQuestion({ class: more = '', onDelete, onKeep, onLeave }: Props) {
  const question = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => question.current?.querySelector('button')?.focus(), []);
  const keepByKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') onKeep();
  };
  return (
    <div
      ref={question}
      class={`delete-question ${more}`}
      onFocusOut={event => {
        const to = event.relatedTarget;
        if (!(to instanceof Node && event.currentTarget.contains(to))) onLeave();
      }}
    >
      <Button kind="danger" icon="trash" onClick={onDelete} onKeyDown={keepByKey}>
        {texts.deletion.now}
      </Button>
      <Button onClick={onKeep} onKeyDown={keepByKey}>
        {texts.deletion.keep}
      </Button>
    </div>
  );
}
