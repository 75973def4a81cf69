import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { useNextFocus } from '../ui/focus.ts';

/** Takes the address of an image, which the gateway fetches. */
export function LinkField() {
  const { images } = useStudio();
  const open = useSignal(false);
  const url = useSignal('');
  const root = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useNextFocus(root, () => root.current?.querySelector<HTMLElement>('input, button'));
  useEffect(() => {
    if (open.value) field.current?.focus();
  }, [open.value]);
  const close = (): void => {
    url.value = '';
    open.value = false;
  };
  const add = (): void => {
    if (field.current?.reportValidity() !== true) return;
    images.addLink(url.value.trim());
    close();
  };
  const closeByKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') close();
  };
  return (
    <div class="link-field" ref={root}>
      {open.value ? (
        <div class="link-form">
          <label class="hidden" for="link">
            {texts.images.link}
          </label>
          <input
            id="link"
            type="url"
            required
            pattern="https?://.+"
            placeholder="https://…"
            ref={field}
            value={url}
            onInput={event => {
              url.value = event.currentTarget.value;
            }}
            onKeyDown={event => {
              closeByKey(event);
              if (event.key !== 'Enter') return;
              // It would submit the edit.
              event.preventDefault();
              add();
            }}
          />
          <Button onClick={add} onKeyDown={closeByKey}>
            {texts.images.add}
          </Button>
        </div>
      ) : (
        <Button
          kind="quiet"
          icon="link"
          onClick={() => {
            open.value = true;
          }}
        >
          {texts.images.addLink}
        </Button>
      )}
    </div>
  );
}
