/** Who is to hear when a signal aborts. */
export interface Abortable {
  aborted(reason: unknown): void;
}

const all = new WeakMap<AbortSignal, Set<Abortable>>();

/**
 * Tells `one` when the signal aborts, unless `forget` was called before. One listener serves a signal for as long as it lives: to add and to
 * remove one for each request, where a signal is that of thousands, is a fifth of what reading a small object takes.
 */
export function watch(signal: AbortSignal, one: Abortable): void {
  const known = all.get(signal);
  if (known) {
    known.add(one);
    return;
  }
  const watching = new Set([one]);
  all.set(signal, watching);
  signal.addEventListener('abort', () => {
    for (const each of [...watching]) each.aborted(signal.reason);
    watching.clear();
  });
}

export function forget(signal: AbortSignal, one: Abortable): void {
  all.get(signal)?.delete(one);
}
