import { useRef } from 'preact/hooks';
import { texts } from '../texts.ts';
import { Icon } from '../ui/icon.tsx';

const FORMATS = ['png', 'jpeg', 'webp'] as const;

interface Output {
  readonly url: string;
  readonly filename: string;
  readonly mimeType: string;
}

/** The result as a file, in each format. */
export function DownloadMenu({ output }: { readonly output: Output }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const close = (): void => {
    if (menu.current !== null) menu.current.open = false;
  };
  const name = output.filename.replace(/\.\w+$/, '');
  return (
    <details
      ref={menu}
      class="menu"
      onFocusOut={event => {
        const next = event.relatedTarget;
        if (!(next instanceof Node && event.currentTarget.contains(next))) close();
      }}
      onKeyDown={event => {
        if (event.key === 'Escape') close();
      }}
    >
      <summary class="button button-plain">
        <Icon name="download" />
        <span>{texts.result.download}</span>
      </summary>
      <ul class="menu-items">
        {FORMATS.map(format => {
          const asMade = output.mimeType === `image/${format}`;
          return (
            <li key={format}>
              <a
                href={asMade ? output.url : withQuery(output.url, { format })}
                download={`${name}.${format === 'jpeg' ? 'jpg' : format}`}
                onClick={close}
              >
                {texts.result.format(format, asMade)}
              </a>
            </li>
          );
        })}
      </ul>
    </details>
  );
}

/** The address of another version of an image. */
export function withQuery(url: string, query: Readonly<Record<string, string>>): string {
  const made = new URL(url, window.location.href);
  for (const [name, value] of Object.entries(query)) made.searchParams.set(name, value);
  return made.href;
}
