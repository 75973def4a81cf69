import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { MaskField } from '../mask/mask-field.tsx';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { useNextFocus } from '../ui/focus.ts';
import { CameraButton } from './camera-button.tsx';
import { MAX_IMAGES } from './edit-image.ts';
import { faultIdOf, ImageSlot, slotIdOf } from './image-slot.tsx';
import { LinkField } from './link-field.tsx';

/** The places for images. The first empty one takes the next. */
export function ImageRow() {
  const { images } = useStudio();
  const list = images.list.value;
  const section = useRef<HTMLElement>(null);
  useNextFocus(section, gone => {
    // That of an image which is gone is also the id in the slot that took its place.
    const slot = gone.closest('.slot')?.querySelector('input')?.id ?? slotIdOf(list.length);
    return section.current?.querySelector<HTMLElement>(`#${slot}`);
  });
  return (
    <section class="images" ref={section} aria-labelledby="images-title">
      <h2 id="images-title" class="section-title">
        {texts.images.title}
      </h2>
      <ul class="image-row">
        {Array.from({ length: MAX_IMAGES }, (_, at) => (
          <ImageSlot
            key={list[at]?.id ?? `empty ${at}`}
            at={at}
            image={list[at] ?? null}
            open={at <= list.length}
          />
        ))}
      </ul>
      {list.map(
        ({ id, fault, upload }, at) =>
          fault !== null && (
            <div key={id} class="slot-fault" id={faultIdOf(at + 1)} role="alert">
              <p class="fault">
                <strong>{texts.images.slot(at + 1)}:</strong> {fault}
              </p>
              {upload.state === 'failed' && upload.retryable && (
                <Button kind="quiet" icon="retry" onClick={() => images.retry(id)}>
                  {texts.images.retry}
                </Button>
              )}
            </div>
          ),
      )}
      {list.length < MAX_IMAGES && (
        <div class="image-ways">
          <LinkField />
          <CameraButton />
          {list.length === 0 && (
            <Button kind="quiet" icon="wand" onClick={images.showSamples}>
              {texts.images.samples}
            </Button>
          )}
        </div>
      )}
      <MaskField />
      {images.fault.value !== null && (
        <p class="fault" role="alert">
          {images.fault}
        </p>
      )}
    </section>
  );
}
