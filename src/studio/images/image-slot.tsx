import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import { Icon } from '../ui/icon.tsx';
import { type EditImage, MAX_IMAGES } from './images.ts';

/** What an input offers to pick. iOS then converts its own format to JPEG. */
const ACCEPT = 'image/jpeg,image/png,image/webp';

/** A place for an image: pick, drop, replace, move or remove it. `at` is its place, from 0; only an `open` one takes an image. */
export function ImageSlot({
  at,
  image,
  open,
}: {
  readonly at: number;
  readonly image: EditImage | null;
  readonly open: boolean;
}) {
  const { images } = useStudio();
  const number = at + 1;
  const name = texts.images.slot(number);
  const pick = (event: Event & { currentTarget: HTMLInputElement }): void => {
    images.addFiles([...(event.currentTarget.files ?? [])], at);
    event.currentTarget.value = '';
  };
  return (
    <li class={`slot ${image === null ? 'slot-empty' : ''} ${image?.fault ? 'slot-faulty' : ''}`}>
      <div class="slot-frame">
        {image === null ? (
          <span class="slot-invitation" aria-hidden="true">
            <Icon name="plus" />
          </span>
        ) : (
          <img
            class="slot-image"
            src={image.thumbnail}
            alt={image.name}
            onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
              images.measured(image.id, { width, height })
            }
            onError={() => images.measured(image.id, null)}
          />
        )}
        <span class="slot-number" aria-hidden="true">
          {number}
        </span>
        <input
          class="slot-input"
          type="file"
          accept={ACCEPT}
          multiple={image === null}
          disabled={!open}
          aria-label={name}
          aria-describedby={image?.fault ? `slot-fault-${number}` : undefined}
          onChange={pick}
        />
        {image?.upload.state === 'sending' && (
          <progress class="slot-progress" max={1} value={image.upload.part}>
            {Math.round(image.upload.part * 100)}
          </progress>
        )}
        {image !== null && (
          <span class="slot-tools">
            {at > 0 && (
              <IconButton
                icon="left"
                label={texts.images.moveLeft(number)}
                onClick={() => images.move(image.id, at - 1)}
              />
            )}
            {at + 1 < Math.min(MAX_IMAGES, images.list.value.length) && (
              <IconButton
                icon="right"
                label={texts.images.moveRight(number)}
                onClick={() => images.move(image.id, at + 1)}
              />
            )}
            <IconButton
              icon="close"
              label={texts.images.remove(number)}
              onClick={() => images.remove(image.id)}
            />
          </span>
        )}
      </div>
      {image?.fault && (
        <p class="fault slot-fault" id={`slot-fault-${number}`} role="alert">
          {image.fault}
        </p>
      )}
    </li>
  );
}
