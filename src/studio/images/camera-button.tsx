import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';

/** Takes a photo. Shown by the style sheet on devices that are held: elsewhere it would only pick a file. */
export function CameraButton() {
  const { images } = useStudio();
  const input = useRef<HTMLInputElement>(null);
  return (
    <span class="camera">
      <input
        ref={input}
        class="hidden"
        type="file"
        accept="image/*"
        capture="environment"
        tabIndex={-1}
        aria-hidden="true"
        onChange={({ currentTarget }) => {
          images.addFiles([...(currentTarget.files ?? [])]);
          currentTarget.value = '';
        }}
      />
      <Button kind="quiet" icon="camera" onClick={() => input.current?.click()}>
        {texts.images.camera}
      </Button>
    </span>
  );
}
