import type { DocumentRecord } from '../collections/documents.ts';
import type { PathFacts } from '../collections/explain.ts';
import type { FailureRecord } from '../collections/failures.ts';
import type { SourceRecord } from '../collections/sources.ts';
import { compileSelection, type Exclusion } from '../sync/selection.ts';

export interface Explanation {
  readonly path: string;
  readonly verdict: 'document' | 'failed' | 'excluded' | 'never_seen' | 'removed';
  readonly message: string;
  readonly hint: string | null;
  readonly document: DocumentRecord | null;
  readonly failure: FailureRecord | null;
  readonly lastSeenAt: Date | null;
  readonly nextTryAt: Date | null;
}

/** Why a path of a source is a document, or is not: what a person should know first. */
export function explainSelection(source: SourceRecord, facts: PathFacts): Explanation {
  const { document, failure, lastChange, planned, listedAt, path } = facts;
  const nextTryAt = source.autoSync ? source.nextDueAt : null;
  const lastSeenAt = document ? listedAt : (failure?.lastAt ?? planned?.at ?? lastChange?.at ?? null);
  const as = (verdict: Explanation['verdict'], message: string, hint: string | null): Explanation => ({
    path,
    verdict,
    message,
    hint,
    document,
    failure,
    lastSeenAt,
    nextTryAt,
  });
  const size = document?.size ?? failure?.size ?? planned?.size ?? 0;
  const exclusion = compileSelection(source)({ path, size });
  if (failure) {
    const times = failure.attempts === 1 ? 'once' : `${failure.attempts} times`;
    const hint = failure.givenUpAt
      ? 'It is not tried any more until it changes, or until you say so: lockgate documents retry'
      : 'The next run tries again.';
    return as('failed', `It could not be fetched (tried ${times}): ${failure.message}`, hint);
  }
  if (exclusion && !document)
    return as('excluded', RULES[exclusion](source), 'Change the rules of the source to have it.');
  if (exclusion) return as('excluded', `${RULES[exclusion](source)} The next run removes it.`, null);
  if (document) {
    const warning = document.warning ? ` ${document.warning}` : '';
    return as('document', `It is a document, stored ${document.storedAt.toISOString()}.${warning}`, null);
  }
  if (planned?.action === 'skip') return as('excluded', `The latest plan left it out: ${planned.reason}.`, null);
  if (lastChange?.kind === 'removed') {
    return as(
      'removed',
      `It was a document until ${lastChange.at.toISOString()}, when the source no longer had it.`,
      null,
    );
  }
  if (!listedAt) return as('never_seen', 'The source has never been listed to its end.', 'Sync it: lockgate sync.');
  return as(
    'never_seen',
    `The latest listing (${listedAt.toISOString()}) had nothing of that path.`,
    'Paths are relative to the path of the source, and exact in case. Sync again if it is newer.',
  );
}

const RULES: Readonly<Record<Exclusion, (source: SourceRecord) => string>> = {
  directory_marker: () => 'It is an empty object that stands for a folder.',
  excluded: ({ exclude }) => `An exclude rule drops it: ${exclude.join(', ')}.`,
  not_included: ({ include }) => `No include rule has it: ${include.join(', ')}.`,
  too_large: ({ maxBytes }) => `It is larger than the ${maxBytes} bytes that the source takes.`,
};
