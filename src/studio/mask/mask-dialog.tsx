import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button, IconButton } from '../ui/button.tsx';
import type { Painting } from './painting.ts';
import { Surface, type SurfaceZoom } from './surface.tsx';
import { Tools } from './tools.tsx';

/** The factor of the keys `[` and `]`. */
const BRUSH_STEP = 1.25;

/** Where the mask is painted, while that is so. */
export function MaskDialog() {
  const { masks, images } = useStudio();
  const painting = masks.painting.value;
  const image = images.list.value[0];
  if (painting === null || image === undefined) return null;
  return <Dialog painting={painting} src={image.thumbnail} />;
}

function Dialog({ painting, src }: { readonly painting: Painting; readonly src: string }) {
  const { masks } = useStudio();
  const dialog = useRef<HTMLDialogElement>(null);
  const zoom = useRef<SurfaceZoom>(null);
  const asked = useSignal(false);
  const finishing = useSignal(false);
  const failure = useSignal<string | null>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);

  /** Escape loses what was painted only when it is pressed twice. */
  function cancel(event: Event): void {
    event.preventDefault();
    if (painting.changed.peek() && !asked.value) asked.value = true;
    else masks.cancel();
  }

  async function accept(): Promise<void> {
    if (finishing.value) return;
    finishing.value = true;
    // The edges of a large mask take a second or two: first shows that it is at work.
    await new Promise(shown => requestAnimationFrame(() => setTimeout(shown)));
    try {
      await masks.accept();
    } catch (error) {
      failure.value = texts.failure(error);
      finishing.value = false;
    }
  }

  function press(event: KeyboardEvent): void {
    const act = actionOf(event, painting);
    if (act === null) return;
    event.preventDefault();
    act();
  }

  const covered = painting.coverage.value;
  return (
    <dialog
      ref={dialog}
      class="mask-dialog"
      aria-labelledby="mask-title"
      aria-describedby="mask-about"
      onCancel={cancel}
      onClose={masks.cancel}
      onKeyDown={press}
    >
      <header class="mask-head">
        <div>
          <h2 id="mask-title">{texts.mask.title}</h2>
          <p class="help" id="mask-about">
            {texts.mask.about}
          </p>
        </div>
        <div class="segments" role="toolbar" aria-label={texts.mask.zoom}>
          <IconButton icon="minus" label={texts.result.zoomOut} onClick={() => zoom.current?.out()} />
          <button
            type="button"
            class="segment"
            title={texts.result.fitAbout}
            onClick={() => zoom.current?.fit()}
          >
            {texts.result.fit}
          </button>
          <IconButton icon="plus" label={texts.result.zoomIn} onClick={() => zoom.current?.in()} />
        </div>
      </header>
      <Surface painting={painting} src={src} zoom={zoom} />
      <Tools painting={painting} />
      <footer class="mask-foot">
        {failure.value === null ? (
          <p class={asked.value ? 'hint' : 'help'} role="status">
            {asked.value ? texts.mask.discard : covered === null ? '' : texts.mask.coverage(covered)}
          </p>
        ) : (
          <p class="fault" role="alert">
            {failure}
          </p>
        )}
        <Button onClick={masks.cancel}>{texts.mask.cancel}</Button>
        <Button kind="primary" aria-busy={finishing.value} onClick={() => void accept()}>
          {texts.mask.accept}
        </Button>
      </footer>
    </dialog>
  );
}

/** What a key does in the dialog; null: it is not one of its keys. */
function actionOf(event: KeyboardEvent, painting: Painting): (() => void) | null {
  const { target, key } = event;
  const writes = target instanceof HTMLInputElement && target.type === 'number';
  if (writes || event.altKey) return null;
  if (event.ctrlKey || event.metaKey) {
    if (key.toLowerCase() === 'z') return event.shiftKey ? painting.redo : painting.undo;
    return key.toLowerCase() === 'y' ? painting.redo : null;
  }
  switch (key) {
    case '[':
      return () => painting.setBrush(Math.min(painting.brush.peek() - 1, painting.brush.peek() / BRUSH_STEP));
    case ']':
      return () => painting.setBrush(Math.max(painting.brush.peek() + 1, painting.brush.peek() * BRUSH_STEP));
    default:
      return null;
  }
}
