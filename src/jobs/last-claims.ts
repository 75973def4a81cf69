/** The job that was last claimed for an engine: its workflow says which models the engine has loaded, or will have. */
export interface LastClaim {
  readonly engine: string;
  /** Name of the workflow. */
  readonly workflow: string;
  /** Rises with each change of the same engine; about the time in milliseconds since 1970. */
  readonly mark: number;
}

/**
 * The last claim of each engine, whichever gateway of the store made it. `Ledger.claim` keeps them. Losing them costs no more
 * than a model that is loaded again. Calls may reject with StoreUnavailable.
 */
export interface LastClaims {
  /** Of all engines. */
  read(): Promise<readonly LastClaim[]>;
  /** The engine may have been restarted since: its last claim is removed, unless there was another one meanwhile. */
  forget(claim: Pick<LastClaim, 'engine' | 'mark'>): Promise<void>;
  /**
   * Calls back when any process, this one too, has claimed a job of another workflow for an engine. A call may be lost. Returns
   * an unsubscribe function.
   */
  onChange(listener: (claim: LastClaim) => void): () => void;
}
