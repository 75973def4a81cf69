import { texts } from '../texts.ts';
import { IconButton } from '../ui/button.tsx';
import type { IconName } from '../ui/icon.tsx';
import { useStudio } from './context.ts';
import { VIEWS } from './route.ts';
import { THEMES, type ThemeName } from './theme.ts';

const THEME_ICONS: Readonly<Record<ThemeName, IconName>> = { system: 'system', light: 'sun', dark: 'moon' };

/** The name of the page, its views, and the theme. */
export function Header() {
  const { route, theme, session, gateway } = useStudio();
  const chosen = theme.chosen.value;
  const nextTheme = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length] ?? 'system';
  return (
    <header class="header">
      <a class="brand" href="#edit">
        <span class="brand-mark" aria-hidden="true" />
        <span class="brand-name">{texts.brand}</span>
      </a>
      <nav class="views" aria-label={texts.views.label}>
        {VIEWS.filter(view => view !== 'engines' || session.caller.value?.operator === true).map(view => (
          <a key={view} href={`#${view}`} aria-current={route.view.value === view ? 'page' : undefined}>
            {texts.views[view]}
          </a>
        ))}
      </nav>
      <div class="header-tools">
        {gateway.sandbox.value && (
          <span class="badge" title={texts.sandbox.about}>
            {texts.sandbox.name}
            <span class="hidden">: {texts.sandbox.about}</span>
          </span>
        )}
        {session.key.value !== null && (
          <IconButton icon="lock" label={texts.signin.out} onClick={() => void session.signOut()} />
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
