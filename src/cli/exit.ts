/** What scripts can tell from the exit code. */
export const EXIT = {
  ok: 0,
  failed: 1,
  /** The command line, or something that it named, is wrong. */
  usage: 2,
  /** A sync ended, but some documents could not be fetched. */
  partial: 3,
  /** A sync stopped before removals that a person must approve. */
  approval: 4,
  interrupted: 130,
} as const;
