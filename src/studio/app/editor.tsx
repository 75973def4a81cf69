import { useEffect, useRef } from 'preact/hooks';
import { DropVeil } from '../images/drop-veil.tsx';
import { ImageRow } from '../images/image-row.tsx';
import { SubmitBar } from '../jobs/submit-bar.tsx';
import { Tray } from '../jobs/tray.tsx';
import { MaskDialog } from '../mask/mask-dialog.tsx';
import { ParametersForm } from '../parameters/parameters-form.tsx';
import { PromptField } from '../prompt/prompt-field.tsx';
import { Stage } from '../result/stage.tsx';
import { LimitsNote } from '../signin/limits-note.tsx';
import { texts } from '../texts.ts';
import { useNextFocus } from '../ui/focus.ts';
import { useStudio } from './context.ts';

/** The view in which a person edits: the form beside the stage, and the newest jobs. */
export function Editor() {
  const { submit, jobs } = useStudio();
  const form = useRef<HTMLFormElement>(null);
  const work = useRef<HTMLDivElement>(null);
  const shown = jobs.selected.value?.id;
  // On a phone the stage is above the form.
  useEffect(() => {
    if (shown !== undefined) work.current?.scrollIntoView({ block: 'start' });
  }, [shown]);
  // An edit that is deleted leaves the form; one that is tried again has other controls.
  useNextFocus(work, () => work.current?.querySelector<HTMLElement>('.stage-foot button') ?? form.current);
  return (
    <div class="editor">
      <h1 class="hidden">{texts.views.edit}</h1>
      <form
        ref={form}
        class="composer"
        tabIndex={-1}
        // The gateway says what is wrong, at the field; the browser cannot show it at one that is folded away.
        noValidate
        aria-label={texts.submit.form}
        onSubmit={event => {
          event.preventDefault();
          void submit.send();
        }}
      >
        <div class="composer-body">
          <ImageRow />
          <PromptField />
          <ParametersForm />
          <LimitsNote />
        </div>
        <SubmitBar />
      </form>
      <div class="work" ref={work}>
        <Stage />
        <Tray />
      </div>
      <MaskDialog />
      <DropVeil />
    </div>
  );
}
