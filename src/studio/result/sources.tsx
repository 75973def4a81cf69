import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Icon } from '../ui/icon.tsx';

/** What the stage shows before there is a job: the images that are about to be edited. */
export function Sources() {
  const { images } = useStudio();
  const list = images.list.value;
  // What the browser cannot show has no size.
  const shown = list.map((image, at) => ({ ...image, number: at + 1 })).filter(({ size }) => size !== null);
  if (list.length === 0) {
    return (
      <div class="notice">
        <Icon name="plus" />
        <h2>{texts.result.noImages}</h2>
        <p class="quiet">{texts.result.noImagesAbout}</p>
      </div>
    );
  }
  return (
    <div class="sources">
      <ul class="sources-row" aria-hidden="true">
        {shown.map(({ id, thumbnail, size, number }) => (
          <li key={id} style={{ flexGrow: size === null ? 1 : size.width / size.height }}>
            <img src={thumbnail} alt="" />
            <span class="slot-number">{number}</span>
          </li>
        ))}
      </ul>
      <p class="quiet">{texts.result.empty}</p>
    </div>
  );
}
