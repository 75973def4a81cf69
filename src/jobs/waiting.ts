/** Why a job waits. A caller can act on the code; the message says it to people. */
export const WAIT_CODES = [
  'JOBS_AHEAD',
  'LANES_BUSY',
  'RUNNING_LIMIT',
  'ENGINE_QUEUE',
  'PAUSED',
  'NO_ENGINES',
  'ENGINE_REQUESTED',
  'ENGINES_STARTING',
  'ENGINES_DOWN',
  'ENGINES_UNFIT',
  'ENGINES_DRAINED',
  'ENGINES_SET_ASIDE',
  'STORE_AWAY',
] as const;

export type WaitCode = (typeof WAIT_CODES)[number];

export interface WaitReason {
  readonly code: WaitCode;
  readonly message: string;
}
