import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Icon } from '../ui/icon.tsx';

/** Says that an image can be dropped, while one is over the page. */
export function DropVeil() {
  const { intake } = useStudio();
  if (!intake.hovered.value) return null;
  return (
    <div class="veil" aria-hidden="true">
      <div class="veil-words">
        <Icon name="plus" />
        {texts.images.drop}
      </div>
    </div>
  );
}
