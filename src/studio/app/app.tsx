import type { ComponentType } from 'preact';
import { History } from '../history/history.tsx';
import { Engines } from '../operator/engines.tsx';
import { SignIn } from '../signin/signin.tsx';
import { StudioProvider } from './context.ts';
import { Editor } from './editor.tsx';
import { Header } from './header.tsx';
import type { View } from './route.ts';
import type { Studio } from './studio.ts';

const VIEWS: Readonly<Record<View, ComponentType>> = { edit: Editor, history: History, engines: Engines };

/** The whole page. */
export function App({ studio }: { readonly studio: Studio }) {
  const { session, route } = studio;
  const View = VIEWS[route.view.value];
  return (
    <StudioProvider value={studio}>
      <Header />
      <main>{session.ended.value ? null : session.needed.value ? <SignIn /> : <View />}</main>
      <p class="hidden" role="status" aria-live="polite">
        {studio.announcer.text}
      </p>
    </StudioProvider>
  );
}
