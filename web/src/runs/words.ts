import type { Run } from '../answers.ts';
import { count, duration, plural } from '../parts/amounts.tsx';

export function didWhat(
  run: Pick<Run, 'added' | 'changed' | 'moved' | 'removed' | 'failed' | 'unchanged' | 'error'>,
): string {
  if (run.error) return run.error.message;
  const parts = (['added', 'changed', 'moved', 'removed', 'failed'] as const)
    .filter((kind) => run[kind] > 0)
    .map((kind) => `${count(run[kind])} ${kind}`);
  return parts.length > 0 ? parts.join(', ') : `nothing new in ${plural(run.unchanged, 'document')}`;
}

export function took({ startedAt, finishedAt }: Pick<Run, 'startedAt' | 'finishedAt'>): string {
  if (!startedAt) return 'not begun';
  return duration((finishedAt ? Date.parse(finishedAt) : Date.now()) - Date.parse(startedAt));
}
