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
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the key does what a button in it does
    <div
      ref={question}
      class={`delete-question ${more}`}
      onKeyDown={event => {
        if (event.key === 'Escape') onKeep();
      }}
      onFocusOut={event => {
        const to = event.relatedTarget;
        if (!(to instanceof Node && event.currentTarget.contains(to))) onLeave();
      }}
    >
      <Button kind="danger" icon="trash" onClick={onDelete}>
        {texts.deletion.now}
      </Button>
      <Button onClick={onKeep}>{texts.deletion.keep}</Button>
    </div>
  );
}
