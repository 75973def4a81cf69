import { type Client, createClient } from '../../client/client.ts';
import { createHistory, type History } from '../history/history.ts';
import { createDrafts } from '../images/drafts.ts';
import { createImages, type Images } from '../images/images.ts';
import { createIntake, type Intake } from '../images/intake.ts';
import { createFeed } from '../jobs/feed.ts';
import { createJobs, type Jobs } from '../jobs/jobs.ts';
import { createSubmit, type Submit } from '../jobs/submit.ts';
import { createMasks, type Masks } from '../mask/masks.ts';
import { createOperator, type Operator } from '../operator/operator.ts';
import { createParameters, type Parameters } from '../parameters/parameters.ts';
import { createResultSize, type ResultSize } from '../parameters/size.ts';
import { createPrompt, type Prompt } from '../prompt/prompt.ts';
import { createViewer, type Viewer } from '../result/viewer.ts';
import { createLimits, type Limits } from '../signin/limits.ts';
import { createSession, type Session } from '../signin/session.ts';
import { type Announcer, createAnnouncer } from './announcer.ts';
import { createGatewayInfo, type GatewayInfo } from './gateway-info.ts';
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
  readonly gateway: GatewayInfo;
  readonly theme: Theme;
  readonly route: Route;
  readonly announcer: Announcer;
  readonly images: Images;
  readonly intake: Intake;
  readonly prompt: Prompt;
  readonly parameters: Parameters;
  readonly resultSize: ResultSize;
  readonly masks: Masks;
  readonly jobs: Jobs;
  readonly limits: Limits;
  readonly submit: Submit;
  readonly viewer: Viewer;
  readonly history: History;
  readonly operator: Operator;
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
  const session = createSession(
    createStore(() => window.sessionStorage),
    () => client.me(),
  );
  const client: Client = createClient({
    url: baseUrl,
    headers: session.headers,
    patience: Number.POSITIVE_INFINITY,
  });
  const gateway = createGatewayInfo(client, session);
  const theme = createTheme(window.document.documentElement, store);
  const route = createRoute(window);
  const announcer = createAnnouncer();
  const drafts = createDrafts();
  const images = createImages({ baseUrl, session, drafts });
  const intake = createIntake(window, images);
  const prompt = createPrompt(store);
  const parameters = createParameters({ client, session, store });
  const resultSize = createResultSize({ client, images, parameters });
  const masks = createMasks({ images, parameters, drafts, announcer });
  const feed = createFeed({ client, session });
  const jobs = createJobs({ client, session, store, route, announcer, feed });
  const limits = createLimits({ session, jobs });
  const submit = createSubmit({ client, session, images, masks, prompt, parameters, jobs, announcer });

  const load = (): void => {
    if (session.caller.peek() === null) void session.identify();
    void gateway.load();
    void parameters.load();
    void jobs.load();
  };
  return {
    baseUrl,
    client,
    store,
    session,
    gateway,
    theme,
    route,
    announcer,
    images,
    intake,
    prompt,
    parameters,
    resultSize,
    masks,
    jobs,
    limits,
    submit,
    viewer: createViewer(jobs),
    history: createHistory({ client, session, feed, announcer }),
    operator: createOperator({ client, session, announcer, document: window.document }),
    start() {
      // The mask belongs to an image.
      void images.load().then(masks.load);
      session.onSignIn(load);
      // What the next person sees is a new page: connections, jobs and the form are gone.
      session.onSignOut(async () => {
        jobs.stop();
        prompt.stop();
        images.stop();
        masks.stop();
        for (const name of ['job', 'prompt', 'negative']) store.write(name, undefined);
        await drafts.clear();
        window.history.replaceState(null, '', window.location.pathname + window.location.search);
        window.location.reload();
      });
      load();
    },
    async stop() {
      limits.stop();
      jobs.stop();
      feed.stop();
      resultSize.stop();
      masks.stop();
      intake.stop();
      images.stop();
      prompt.stop();
      theme.stop();
      route.stop();
      await client.close();
    },
  };
}
