import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import type { IconName } from '../ui/icon.tsx';
import { useStudio } from './context.ts';
import type { View } from './route.ts';
import { THEMES, type ThemeName } from './theme.ts';

const THEME_ICONS: Readonly<Record<ThemeName, IconName>> = { system: 'system', light: 'sun', dark: 'moon' };

/** The name of the page, its views, and the theme. */
export function Header() {
  const { route, theme, session } = useStudio();
  const chosen = theme.chosen.value;
  const nextTheme = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length] ?? 'system';
  const link = (view: View) => (
    <a href={`#${view}`} aria-current={route.view.value === view ? 'page' : undefined}>
      {texts.views[view]}
    </a>
  );
  return (
    <header class="header">
      <a class="brand" href="#edit">
        <span class="brand-mark" aria-hidden="true" />
        {texts.brand}
      </a>
      <nav class="views" aria-label={texts.views.label}>
        {link('edit')}
        {link('history')}
        {link('engines')}
      </nav>
      <div class="header-tools">
        {session.key.value !== null && (
          <IconButton icon="lock" label={texts.signin.out} onClick={session.signOut} />
        )}
        <IconButton
          icon={THEME_ICONS[chosen]}
          label={texts.theme.label(chosen)}
          onClick={() => theme.choose(nextTheme)}
        />
      </div>
    </header>
  );
}
