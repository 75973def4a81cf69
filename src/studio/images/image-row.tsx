import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { ImageSlot } from './image-slot.tsx';
import { MAX_IMAGES } from './images.ts';
import { LinkField } from './link-field.tsx';

/** The places for images. The first empty one takes the next. */
export function ImageRow() {
  const { images } = useStudio();
  const list = images.list.value;
  const places = Math.min(MAX_IMAGES, list.length + 1);
  return (
    <section class="images" aria-labelledby="images-title">
      <h2 id="images-title" class="section-title">
        {texts.images.title}
      </h2>
      <ul class="image-row">
        {Array.from({ length: MAX_IMAGES }, (_, at) => (
          <ImageSlot
            key={list[at]?.id ?? `empty ${at}`}
            at={at}
            image={list[at] ?? null}
            open={at < places}
          />
        ))}
      </ul>
      {list.length < MAX_IMAGES && <LinkField />}
      {images.fault.value !== null && (
        <p class="fault" role="alert">
          {images.fault}
        </p>
      )}
    </section>
  );
}
