import { useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Icon } from '../ui/icon.tsx';
import { type Hint, hintsFor } from './guide.ts';

/** The prompt with its guide: chips for the numbers of the images, and hints. */
export function PromptField() {
  const { prompt, images, submit } = useStudio();
  const field = useRef<HTMLTextAreaElement>(null);
  const count = images.list.value.length;
  const hints = hintsFor(prompt.text.value, count);

  function insert(words: string): void {
    const area = field.current;
    if (area === null) return;
    const { selectionStart: start, selectionEnd: end, value } = area;
    const before = value.slice(0, start);
    const after = value.slice(end);
    const text = `${/\S$/.test(before) ? ' ' : ''}${words}${/^[\w"]/.test(after) ? ' ' : ''}`;
    prompt.text.value = before + text + after;
    const caret = start + text.length;
    area.focus();
    queueMicrotask(() => area.setSelectionRange(caret, caret));
  }

  return (
    <section class="prompt">
      <label class="section-title" for="prompt">
        {texts.prompt.title}
      </label>
      <div class="prompt-box">
        <textarea
          id="prompt"
          ref={field}
          rows={4}
          required
          placeholder={texts.prompt.placeholder}
          value={prompt.text}
          aria-describedby="prompt-guide"
          onInput={event => {
            prompt.text.value = event.currentTarget.value;
          }}
          onKeyDown={event => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            void submit.send();
          }}
        />
        <div class="chips">
          {Array.from({ length: count }, (_, at) => (
            <button
              key={at}
              type="button"
              class="chip"
              onClick={() => insert(texts.prompt.reference(at + 1))}
            >
              <Icon name="plus" />
              <span class="hidden">{texts.prompt.insert} </span>
              {texts.prompt.reference(at + 1)}
            </button>
          ))}
        </div>
      </div>
      <div id="prompt-guide" class="prompt-guide" aria-live="polite">
        {prompt.fault.value !== null && <p class="fault">{prompt.fault}</p>}
        {hints.map(hint => (
          <p key={textOf(hint)} class="hint">
            {textOf(hint)}
          </p>
        ))}
      </div>
    </section>
  );
}

function textOf(hint: Hint): string {
  switch (hint.kind) {
    case 'ambiguous':
      return texts.prompt.ambiguous(hint.words);
    case 'missing':
      return texts.prompt.missing(hint.number);
    case 'unnamed':
      return texts.prompt.unnamed;
    default:
      return hint satisfies never;
  }
}
