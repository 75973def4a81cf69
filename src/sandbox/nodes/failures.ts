/** A node raised: what Python's exception would say (`execution.py`, execution_error). */
export class NodeFailure extends Error {
  readonly exceptionType: string;

  constructor(exceptionType: string, message: string) {
    super(message);
    this.name = 'NodeFailure';
    this.exceptionType = exceptionType;
  }
}

/** Somebody asked to stop the running prompt (`comfy/model_management.py`, InterruptProcessingException). */
export class Interrupted extends Error {
  constructor() {
    super('the prompt was interrupted');
    this.name = 'Interrupted';
  }
}

/** The engine ends or starts again: the running prompt is dropped without a word. */
export class Dropped extends Error {
  constructor() {
    super('the engine went away');
    this.name = 'Dropped';
  }
}

/** What a GPU without enough memory raises, with the hint that ComfyUI adds. */
export function outOfMemory(): NodeFailure {
  return new NodeFailure(
    'torch.OutOfMemoryError',
    'CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 0 bytes.\n' +
      'This error means you ran out of memory on your GPU.\n\n' +
      'TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.',
  );
}
