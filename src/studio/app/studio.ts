import { type Client, createClient } from '../../client/client.ts';
import { createImages, type Images } from '../images/images.ts';
import { createJobs, type Jobs } from '../jobs/jobs.ts';
import { createSubmit, type Submit } from '../jobs/submit.ts';
import { createParameters, type Parameters } from '../parameters/parameters.ts';
import { createPrompt, type Prompt } from '../prompt/prompt.ts';
import { createSession, type Session } from '../signin/session.ts';
import { type Announcer, createAnnouncer } from './announcer.ts';
import { createRoute, type Route } from './route.ts';
import { createStore, type Store } from './storage.ts';
import { createTheme, type Theme } from './theme.ts';

/** Every store of the page, and the client that they share. */
export interface Studio {
  readonly baseUrl: URL;
  readonly client: Client;
  /** Kept by the browser until it is cleared. */
  readonly store: Store;
  readonly session: Session;
  readonly theme: Theme;
  readonly route: Route;
  readonly announcer: Announcer;
  readonly images: Images;
  readonly prompt: Prompt;
  readonly parameters: Parameters;
  readonly jobs: Jobs;
  readonly submit: Submit;
  /** Loads what the gateway has. Failures are shown by the stores. */
  start(): void;
  stop(): Promise<void>;
}

/** Builds the page’s stores: the only place that knows them all. `baseUrl` is the gateway’s address, with a slash at its end. */
export function createStudio({
  baseUrl,
  window,
}: {
  readonly baseUrl: URL;
  readonly window: Window;
}): Studio {
  const store = createStore(() => window.localStorage);
  const session = createSession(createStore(() => window.sessionStorage));
  const client = createClient({ url: baseUrl, headers: session.headers, patience: Number.POSITIVE_INFINITY });
  const theme = createTheme(window.document.documentElement, store);
  const route = createRoute(window);
  const announcer = createAnnouncer();
  const images = createImages({ baseUrl, session });
  const prompt = createPrompt(store);
  const parameters = createParameters({ client, session, store });
  const jobs = createJobs({ client, session, route, announcer });
  const submit = createSubmit({ client, session, images, prompt, parameters, jobs, announcer });

  const load = (): void => {
    void parameters.load();
    void jobs.load();
  };
  return {
    baseUrl,
    client,
    store,
    session,
    theme,
    route,
    announcer,
    images,
    prompt,
    parameters,
    jobs,
    submit,
    start() {
      session.onSignIn(load);
      load();
    },
    async stop() {
      jobs.stop();
      images.stop();
      prompt.stop();
      theme.stop();
      route.stop();
      await client.close();
    },
  };
}
