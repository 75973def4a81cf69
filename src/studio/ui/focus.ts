import type { RefObject } from 'preact';
import { useLayoutEffect } from 'preact/hooks';

/**
 * Where a new rendering of the component removes the control in `root` that has the focus, `next` finds the one that gets it: else
 * the document would have it, and a keyboard would start at the top of the page. `gone` is what was removed.
 */
export function useNextFocus(
  root: RefObject<HTMLElement | null>,
  next: (gone: Element) => HTMLElement | null | undefined,
): void {
  // During a rendering the page is still as it was.
  const { activeElement } = document;
  const focused = root.current?.contains(activeElement) ? activeElement : null;
  useLayoutEffect(() => {
    if (focused !== null && document.activeElement === document.body) next(focused)?.focus();
  });
}
