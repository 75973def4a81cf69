import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { useNextFocus } from '../ui/focus.ts';

/** Offers to paint a mask, and says what is amiss with it. Absent where no workflow takes one. */
export function MaskField() {
  const { masks, parameters } = useStudio();
  const mask = masks.mask.value;
  const workflow = masks.workflow.value;
  const root = useRef<HTMLDivElement>(null);
  useNextFocus(root, () => root.current?.querySelector('button'));
  if (workflow === null) return null;
  const chosen = parameters.workflow.value;
  return (
    <div class="mask-field" ref={root}>
      {masks.offered.value && (
        <div class="image-ways">
          <Button kind="quiet" icon="brush" onClick={masks.open}>
            {mask === null ? texts.mask.open : texts.mask.change}
          </Button>
          {mask !== null && (
            <Button kind="quiet" icon="close" onClick={masks.remove}>
              {texts.mask.remove}
            </Button>
          )}
        </div>
      )}
      {mask === null && masks.dropped.value && <p class="hint">{texts.mask.dropped}</p>}
      {mask === null && chosen?.takesMask === true && <p class="hint">{texts.mask.missing}</p>}
      {mask !== null && chosen?.takesMask === false && (
        <p class="hint">
          {texts.mask.unsuited(chosen.title)}{' '}
          <button type="button" class="mask-switch" onClick={masks.chooseWorkflow}>
            {texts.mask.use(workflow.title)}
          </button>
        </p>
      )}
      {masks.fault.value !== null && (
        <p class="fault" role="alert">
          {masks.fault}
        </p>
      )}
    </div>
  );
}

/** Shows over image 1 what may change. */
export function MaskVeil() {
  const mask = useStudio().masks.mask.value;
  if (mask === null) return null;
  return (
    <span class="mask-veil" style={{ maskImage: `url("${mask.url}")` }}>
      <span class="hidden">{texts.mask.shown}</span>
    </span>
  );
}
