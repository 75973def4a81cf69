import { GatewayError, type JobSnapshot } from '../client/client.ts';

type Status = JobSnapshot['status'];
type Stage = NonNullable<JobSnapshot['stage']>;

const STATUSES: Readonly<Record<Status, string>> = {
  QUEUED: 'Waiting',
  PROCESSING: 'Editing',
  COMPLETED: 'Ready',
  ERROR: 'Failed',
  CANCELED: 'Canceled',
};

const STAGES: Readonly<Record<Stage, string>> = {
  LOADING: 'Loading the model',
  ENCODING: 'Reading the prompt and the images',
  SAMPLING: 'Painting',
  DECODING: 'Developing the image',
  SAVING: 'Saving',
};

const ENGINE_STATES = {
  READY: 'Ready',
  DOWN: 'Does not respond',
  DRAINED: 'Drained',
  LEAVING: 'Leaving',
  SET_ASIDE: 'Set aside after failures',
  STARTING: 'Being probed',
  UNFIT: 'Can run none of the workflows',
} as const;

const PARAMETER_NAMES: Readonly<Record<string, string>> = { cfg: 'Guidance', megapixels: 'Size' };

const capitalized = (text: string): string => text.replace(/^./, letter => letter.toUpperCase());

const nameOf = (name: string): string =>
  PARAMETER_NAMES[name] ?? capitalized(name.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase());

/** Every text of the page. */
export const texts = {
  brand: 'Studio',
  views: { label: 'Views', edit: 'Editor', history: 'History', engines: 'Engines' },
  sandbox: { name: 'Sandbox', about: 'No ComfyUI is connected. The sandbox runs no model.' },
  theme: {
    label: (name: string) => `Theme: ${name}`,
  },
  images: {
    title: 'Images',
    slot: (number: number) => `Image ${number}`,
    pick: 'Choose an image, or drop one',
    replace: (name: string) => `${name}: choose another image`,
    sending: 'Upload',
    retry: 'Try again',
    samples: 'Use the samples',
    camera: 'Take a photo',
    drop: 'Drop to add images',
    add: 'Add',
    addLink: 'Add by link',
    link: 'Address of an image',
    result: 'Result of an edit',
    remove: (number: number) => `Remove image ${number}`,
    moveLeft: (number: number) => `Move image ${number} to the left`,
    moveRight: (number: number) => `Move image ${number} to the right`,
    tooMany: 'An edit takes up to three images.',
    notSent: 'It could not be sent. Is it too large, or the connection lost?',
    notUsable: 'An image cannot be used. Replace it or remove it.',
  },
  mask: {
    open: 'Paint what may change',
    change: 'Change the mask',
    remove: 'Remove the mask',
    shown: 'Its mask shows what may change',
    dropped: 'The mask is gone with its image.',
    missing: 'This workflow changes only what you paint: paint what may change.',
    unsuited: (workflow: string) => `${workflow} takes no mask.`,
    use: (workflow: string) => `Use ${workflow}`,
    accepted: (workflow: string) => `Only what you painted may change. Workflow: ${workflow}`,
    title: 'Mask of image 1',
    about: 'What you paint may change. Every other pixel stays as it is.',
    canvas: 'The mask, over image 1',
    zoom: 'Zoom',
    tool: 'Tool',
    tools: { paint: 'Paint', erase: 'Erase', rectangle: 'Rectangle' },
    brush: 'Brush',
    brushAbout: 'The keys [ and ] change it',
    feather: 'Feather',
    pixels: (count: number) => `${count} px`,
    undo: 'Undo',
    redo: 'Redo',
    invert: 'Invert',
    fill: 'All',
    clear: 'None',
    byNumbers: 'Rectangle by numbers',
    sides: { left: 'Left', top: 'Top', width: 'Width', height: 'Height' },
    paintRectangle: 'Paint it',
    eraseRectangle: 'Erase it',
    coverage: (part: number) =>
      part === 0
        ? 'Nothing is painted: all of the image may change.'
        : `About ${part < 0.01 ? 'less than 1' : Math.round(part * 100)} % may change.`,
    discard: 'Press Escape again to discard what you painted.',
    cancel: 'Cancel',
    accept: 'Done',
  },
  prompt: {
    title: 'What should change?',
    placeholder: 'Change the background to a forest at dusk',
    sample: 'Place the person from image 1 in the landscape from image 2, in warm evening light',
    insert: 'Insert',
    reference: (number: number) => `image ${number}`,
    negative: 'Avoid',
    negativePlaceholder: 'blurry, distorted',
    ambiguous: (words: string) => `Which image is “${words}” in? Say “${words} in image 1”.`,
    missing: (number: number) => `There is no image ${number}.`,
    unnamed: 'Say which image you mean: “the background of image 2”.',
  },
  parameters: {
    title: 'Settings',
    workflow: 'Workflow',
    notRunnable: (title: string) => `${title} (no engine can run it now)`,
    nameOf,
    setting: (name: string, value: string | number | boolean) =>
      name === 'megapixels' ? `${value} MP` : `${nameOf(name)} ${value}`,
    size: (shape: string, width: number, height: number) => `${shape} · ${width} × ${height} pixels`,
    reset: (name: string) => `Reset ${name}`,
    /** As the gateway says it. */
    takesInteger: (name: string, minimum: number | null, maximum: number | null, got: unknown) => {
      const range = minimum === null || maximum === null ? '' : ` from ${minimum} to ${maximum}`;
      return `${name} takes an integer${range}, got ${got}`;
    },
    seed: 'Seed',
    random: 'Random',
    lockSeed: 'Lock one',
    randomSeed: 'Random each time',
    reuseSeed: 'That of the edit shown',
  },
  submit: { edit: 'Edit', form: 'Edit' },
  jobs: {
    tray: 'Newest edits',
    progress: 'Progress of the edit',
    cancel: 'Cancel',
    canceled: 'The edit was canceled.',
    deleted: 'The edit was deleted.',
    away: 'The connection is lost. Connecting again…',
    status: (status: Status) => STATUSES[status],
    state: (job: JobSnapshot) =>
      job.status === 'PROCESSING' && job.stage !== null ? STAGES[job.stage] : STATUSES[job.status],
    detail: (job: JobSnapshot) =>
      [
        job.status === 'QUEUED' && job.waitingFor !== null ? job.waitingFor.message : null,
        job.stage === 'SAMPLING' && job.step !== null && job.totalSteps !== null
          ? `Step ${job.step} of ${job.totalSteps}`
          : null,
        job.etaSeconds === null ? null : `${duration(job.etaSeconds)} left`,
      ]
        .filter(part => part !== null)
        .join(' · '),
    spoken: (job: JobSnapshot) =>
      job.status === 'PROCESSING'
        ? `${job.stage === null ? STATUSES.PROCESSING : STAGES[job.stage]}, ${Math.round(job.progress)} percent`
        : job.status === 'COMPLETED'
          ? 'The result is ready.'
          : (job.error?.message ?? STATUSES[job.status]),
  },
  result: {
    stage: 'Result',
    empty: 'Press Edit, and the result appears here.',
    noImages: 'Start with an image',
    noImagesAbout: 'Drop one anywhere, paste it, or choose it on the left.',
    alt: (prompt: string) => `Result: ${prompt}`,
    preview: 'Preview of the edit',
    further: 'Edit this further',
    download: 'Download',
    format: (format: string, asMade: boolean) => `${format.toUpperCase()}${asMade ? ' (as made)' : ''}`,
    copy: 'Copy',
    copied: 'The result was copied.',
    notCopied: (error: unknown) =>
      `It was not copied: ${error instanceof Error ? error.message : String(error)}`,
    view: 'View of the result',
    modes: { result: 'Result', before: 'Before and after', compare: 'Compare' },
    before: (number: number) => `Image ${number}, before the edit`,
    beforeChoice: 'The image before the edit',
    split: 'How much of the image before the edit is shown',
    leaveComparison: 'Remove from the comparison',
    compareAbout: 'Choose other results below to compare them with this one.',
    zoomIn: 'Zoom in',
    zoomOut: 'Zoom out',
    fit: 'Fit',
    fitAbout: 'Show the whole image',
    pixels: '1:1',
    pixelsAbout: 'Show each pixel of the image as one of the screen',
    inputsGone: 'An image of that edit is gone. Choose another.',
    reuse: 'Change and retry',
    retry: 'Try again',
    remove: 'Delete',
  },
  history: {
    title: 'History',
    search: 'Search prompts and labels',
    filter: 'Status',
    filters: { all: 'All', active: 'Under way', ready: 'Ready', failed: 'Failed', canceled: 'Canceled' },
    found: (count: number) => (count === 1 ? 'One edit.' : `${count} edits.`),
    line: (job: JobSnapshot) =>
      job.status === 'COMPLETED'
        ? ago(job.createdAt)
        : job.status === 'PROCESSING'
          ? `${STATUSES.PROCESSING}, ${Math.round(job.progress)} %`
          : `${STATUSES[job.status]} · ${ago(job.createdAt)}`,
    empty: 'No edits yet',
    noMatch: 'No edit matches',
    start: 'Make one',
    loading: 'Loading…',
    more: 'Show more',
    remove: 'Delete',
  },
  deletion: { now: 'Delete', keep: 'Keep' },
  engines: {
    title: 'Engines',
    sandbox: 'Sandbox',
    operatorsOnly: 'Only operators may see the engines.',
    none: 'There are no engines. Set COMFYUI_URL, or add one: qwen-edit engines add.',
    drain: 'Drain',
    undrain: 'Take jobs again',
    drained: (id: string, drained: boolean) =>
      drained ? `${id} takes no more edits.` : `${id} takes edits again.`,
    whileDrained: (running: number) =>
      running === 0
        ? 'Takes no more edits, and runs none.'
        : `Takes no more edits. ${running === 1 ? 'One is' : `${running} are`} still running.`,
    version: (version: string) => `ComfyUI ${version}`,
    memory: 'Memory in use',
    memoryUsed: (used: number, total: number) => `${gigabytes(used)} of ${gigabytes(total)} GB in use`,
    notLive: 'Its WebSocket does not open: edits have no steps and no previews.',
    idle: 'Runs no edit now.',
    runs: (count: number, all: number) =>
      count === all ? 'Runs every workflow.' : `Runs ${count} of ${all} workflows.`,
    lacks: (names: readonly string[]) => `Cannot run ${names.join(', ')}`,
    state: (state: keyof typeof ENGINE_STATES) => ENGINE_STATES[state],
  },
  queue: {
    title: (count: number) => `Queue (${count})`,
    empty: 'No edit waits.',
    place: 'Place',
    job: 'Edit',
    reason: 'Waits because',
    since: 'Submitted',
    priority: (priority: 'HIGH' | 'NORMAL' | 'LOW') => capitalized(priority.toLowerCase()),
    more: (count: number) => `And ${count} more.`,
  },
  ago,
  limits: {
    about: 'Your limits: ',
    waiting: (used: number, allowed: number) => `${used} of ${amount(allowed)} edits waiting`,
    running: (used: number, allowed: number) => `${used} of ${amount(allowed)} edits running`,
    work: (used: number, allowed: number, resetsAt: string) =>
      `${amount(used)} of ${amount(allowed)} megapixel-steps used until ${clock(resetsAt)}`,
  },
  signin: {
    title: 'Sign in',
    about: 'This gateway asks for a key. It is kept until you close this tab.',
    key: 'Key or token',
    expired: 'Your key or token is no longer valid. Sign in again, and the page goes on.',
    rejected: 'The key was not accepted.',
    submit: 'Sign in',
    out: 'Sign out',
  },
  /** What failed, from an error that was caught. */
  failure: (error: unknown): string => {
    if (error instanceof GatewayError && error.kind === 'unreachable') return 'The gateway does not respond.';
    return error instanceof Error ? error.message : String(error);
  },
} as const;

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

const amount = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 1 });

/** The time of the day here, such as 18:05. */
function clock(time: string): string {
  return new Date(time).toLocaleTimeString('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
}

const gigabytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

const AGO = new Intl.RelativeTimeFormat('en', { style: 'short', numeric: 'auto' });

/** How long ago a time was; its date if that is more than a week. */
function ago(time: string): string {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return AGO.format(-Math.floor(seconds / 60), 'minute');
  if (seconds < 86_400) return AGO.format(-Math.floor(seconds / 3600), 'hour');
  if (seconds < 7 * 86_400) return AGO.format(-Math.floor(seconds / 86_400), 'day');
  return new Date(time).toLocaleDateString('en', { dateStyle: 'medium' });
}
