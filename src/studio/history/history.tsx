import { useEffect, useRef } from 'preact/hooks';
import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { Icon } from '../ui/icon.tsx';
import { FILTERS, type Filter } from './history.ts';
import { HistoryCard } from './history-card.tsx';

/** The next page is read when its button is this far below the screen. */
const AHEAD = '800px';

/** All jobs of the caller, newest first, live. */
export function History() {
  const { history } = useStudio();
  useEffect(() => history.open(), [history]);
  const { value: shown } = history.shown;
  return (
    <section class="page page-wide" aria-labelledby="history-title">
      <div class="history-head">
        <h1 id="history-title">{texts.history.title}</h1>
        <Filters />
        <input
          type="search"
          class="history-search"
          aria-label={texts.history.search}
          placeholder={texts.history.search}
          value={history.words}
          onInput={event => {
            history.words.value = event.currentTarget.value;
          }}
        />
      </div>
      {history.fault.value !== null && (
        <p class="fault" role="alert">
          {history.fault}
        </p>
      )}
      <ul class="history" onKeyDown={moveFocus}>
        {shown.map(item => (
          <HistoryCard key={item.id} item={item} />
        ))}
      </ul>
      <Foot empty={shown.length === 0} />
    </section>
  );
}

function Filters() {
  const { history } = useStudio();
  return (
    <fieldset class="filters">
      <legend class="hidden">{texts.history.filter}</legend>
      {Object.keys(FILTERS)
        .filter(isFilter)
        .map(name => (
          <label key={name} class="filter">
            <input
              type="radio"
              name="filter"
              class="hidden"
              checked={history.filter.value === name}
              onChange={() => history.choose(name)}
            />
            {texts.history.filters[name]}
          </label>
        ))}
    </fieldset>
  );
}

function isFilter(name: string): name is Filter {
  return name in FILTERS;
}

/** What comes after the jobs: more of them, or why there are none. */
function Foot({ empty }: { readonly empty: boolean }) {
  const { history, route } = useStudio();
  const end = useRef<HTMLDivElement>(null);
  const state = history.state.value;
  const pages = history.pages.value;
  const auto = state === 'more' && history.fault.value === null;
  useEffect(() => {
    const target = end.current;
    if (!auto || target === null || typeof IntersectionObserver === 'undefined') return;
    const page = target.closest('.page');
    const scrolls = page !== null && getComputedStyle(page).overflowY === 'auto';
    const observer = new IntersectionObserver(
      entries => {
        if (entries.some(({ isIntersecting }) => isIntersecting)) void history.more();
      },
      { root: scrolls ? page : null, rootMargin: `${AHEAD} 0px` },
    );
    observer.observe(target);
    return () => observer.disconnect();
  }, [auto, pages]);

  if (state === 'all' && empty) {
    const all = history.filter.value === 'all' && history.words.value.trim() === '';
    return (
      <div class="notice">
        <Icon name="history" />
        <h2>{all ? texts.history.empty : texts.history.noMatch}</h2>
        {all && <Button onClick={() => route.open('edit')}>{texts.history.start}</Button>}
      </div>
    );
  }
  return (
    <div class="history-foot" ref={end}>
      {state === 'loading' && <p class="quiet">{texts.history.loading}</p>}
      {state === 'more' && <Button onClick={() => void history.more()}>{texts.history.more}</Button>}
    </div>
  );
}

/** The arrow keys move from job to job, as they lie on the screen. */
function moveFocus(event: KeyboardEvent & { readonly currentTarget: HTMLUListElement }): void {
  const links = [...event.currentTarget.querySelectorAll<HTMLAnchorElement>('.history-open')];
  const at = links.findIndex(link => link.matches(':focus'));
  if (at < 0) return;
  const top = (link: HTMLElement | undefined): number => link?.getBoundingClientRect().top ?? 0;
  const columns = Math.max(
    1,
    links.findIndex(link => top(link) > top(links[0]) + 1),
  );
  const steps: Record<string, number> = {
    ArrowRight: 1,
    ArrowLeft: -1,
    ArrowDown: columns,
    ArrowUp: -columns,
    Home: -at,
    End: links.length - 1 - at,
  };
  const step = steps[event.key];
  if (step === undefined) return;
  event.preventDefault();
  links[at + step]?.focus();
}
