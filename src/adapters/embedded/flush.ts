/** Tells when what was written is on the disk. */
export interface Flush {
  /**
   * Resolves when all that was written before this call would survive a power cut; rejects when that is not known. Calls
   * that come while the disk is busy share its next turn, so the busier it is, the less each of them costs.
   */
  done(): Promise<void>;
}

/** Shares out the turns of a disk. `sync` resolves when everything written before it was called is there. */
export function createFlush(sync: () => Promise<void>): Flush {
  let present: Promise<void> | null = null;
  let next: Promise<void> | null = null;

  async function turn(before: Promise<void> | null): Promise<void> {
    // Whoever waits for that one is told of its fault.
    await before?.catch(() => undefined);
    present = next;
    next = null;
    await sync();
  }

  return {
    done() {
      next ??= turn(present);
      return next;
    },
  };
}
