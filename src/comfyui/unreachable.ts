/** The engine did not answer, or not as ComfyUI would. Says nothing of what it did with the request. */
export class EngineUnreachable extends Error {
  override name = 'EngineUnreachable';
}
