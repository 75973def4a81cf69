import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { MaskVeil } from '../mask/mask-field.tsx';
import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import { Icon } from '../ui/icon.tsx';
import type { EditImage } from './edit-image.ts';
import { DRAGGED_IMAGE, take } from './intake.ts';

/** What an input offers to pick. iOS then converts its own format to JPEG. */
export const ACCEPT = 'image/jpeg,image/png,image/webp';

interface Props {
  /** Its place, from 0. */
  readonly at: number;
  readonly image: EditImage | null;
  /** Whether it can take an image: filled, or the next one. */
  readonly open: boolean;
}

/** A place for an image: pick, drop, replace, move or remove it. */
export function ImageSlot({ at, image, open }: Props) {
  const { images } = useStudio();
  const input = useRef<HTMLInputElement>(null);
  const hovered = useSignal(false);
  const number = at + 1;
  const fault = image?.fault ?? null;

  function drop(event: DragEvent): void {
    hovered.value = false;
    const dragged = event.dataTransfer?.getData(DRAGGED_IMAGE);
    if (dragged) images.move(Number(dragged), Math.min(at, images.list.value.length - 1));
    else if (!open || !take(images, event.dataTransfer, at)) return;
    event.preventDefault();
  }

  /** A filled place is dragged by its image, so its input takes no clicks of its own. */
  function pickByPointer({ target }: MouseEvent): void {
    const onImage = target instanceof Element && target.closest('button, input') === null;
    if (image !== null && onImage) input.current?.click();
  }

  function moveByKey(event: KeyboardEvent): void {
    const step = event.altKey ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : undefined;
    if (step === undefined || image === null) return;
    event.preventDefault();
    images.move(image.id, at + step);
  }

  const state = [
    image === null ? 'slot-empty' : 'slot-filled',
    open ? '' : 'slot-closed',
    fault === null ? '' : 'slot-faulty',
    hovered.value ? 'slot-hovered' : '',
  ];
  return (
    <li class={`slot ${state.join(' ')}`}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the input and the buttons in it do the same by keyboard */}
      <div
        class="slot-frame"
        draggable={image !== null}
        onDragStart={event => {
          if (image !== null) event.dataTransfer?.setData(DRAGGED_IMAGE, String(image.id));
        }}
        onDragOver={event => {
          event.preventDefault();
          hovered.value = true;
        }}
        onDragLeave={() => {
          hovered.value = false;
        }}
        onDrop={drop}
        onKeyDown={moveByKey}
        onClick={pickByPointer}
      >
        {image === null ? <Invitation open={open} /> : <Thumbnail image={image} />}
        {at === 0 && <MaskVeil />}
        <span class="slot-number" aria-hidden="true">
          {number}
        </span>
        <input
          ref={input}
          id={slotIdOf(number)}
          class="slot-input"
          type="file"
          accept={ACCEPT}
          multiple={image === null}
          disabled={!open}
          aria-label={texts.images.slot(number)}
          aria-invalid={fault !== null}
          aria-describedby={fault === null ? undefined : faultIdOf(number)}
          title={image === null ? texts.images.pick : texts.images.replace(image.name)}
          onChange={({ currentTarget }) => {
            images.addFiles([...(currentTarget.files ?? [])], at);
            currentTarget.value = '';
          }}
        />
        {image !== null && <Tools at={at} image={image} />}
        {image?.upload.state === 'sending' && (
          <progress class="slot-progress" max={1} value={image.upload.part} aria-label={texts.images.sending}>
            {Math.round(image.upload.part * 100)} %
          </progress>
        )}
      </div>
    </li>
  );
}

/** The id of the control that picks the image of this number. */
export function slotIdOf(number: number): string {
  return `slot-${number}`;
}

/** The id of what is said about an image of this number. */
export function faultIdOf(number: number): string {
  return `slot-fault-${number}`;
}

function Invitation({ open }: { readonly open: boolean }) {
  return (
    <span class="slot-invitation" aria-hidden="true">
      {open && <Icon name="plus" />}
    </span>
  );
}

/** The image, or its name where the browser cannot show it. The gateway may be able to fetch a link all the same. */
function Thumbnail({ image: { id, name, thumbnail } }: { readonly image: EditImage }) {
  const { images } = useStudio();
  const broken = useSignal(false);
  if (broken.value) return <span class="slot-name">{name}</span>;
  return (
    <img
      class="slot-image"
      src={thumbnail}
      alt={name}
      draggable={false}
      onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
        images.measured(id, { width, height })
      }
      onError={() => {
        broken.value = true;
      }}
    />
  );
}

function Tools({ at, image }: { readonly at: number; readonly image: EditImage }) {
  const { images } = useStudio();
  const number = at + 1;
  return (
    <span class="slot-tools">
      {at > 0 && (
        <IconButton
          icon="left"
          label={texts.images.moveLeft(number)}
          onClick={() => images.move(image.id, at - 1)}
        />
      )}
      {number < images.list.value.length && (
        <IconButton
          icon="right"
          label={texts.images.moveRight(number)}
          onClick={() => images.move(image.id, at + 1)}
        />
      )}
      <IconButton icon="close" label={texts.images.remove(number)} onClick={() => images.remove(image.id)} />
    </span>
  );
}
