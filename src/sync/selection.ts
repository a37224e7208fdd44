import picomatch from 'picomatch';
import type { Entry } from '../contract/connector.ts';
import { InputError } from '../contract/errors.ts';

/** Which entries of a source become documents. Globs match the path below the source's location. */
export interface SelectionRules {
  /** Empty: everything. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Larger entries are left out; null: no bound. */
  readonly maxBytes: number | null;
}

export type Exclusion = 'not_included' | 'excluded' | 'too_large' | 'directory_marker';

/** In words that end a sentence. */
export const WHY_EXCLUDED: Readonly<Record<Exclusion, string>> = {
  directory_marker: 'an empty object that stands for a folder',
  excluded: 'an exclude rule drops it',
  not_included: 'no include rule has it',
  too_large: 'larger than the source takes',
};

/** Why an entry is left out, or null when it is a document. */
export type Selection = (entry: Pick<Entry, 'path' | 'size'>) => Exclusion | null;

const OPTIONS = { dot: true, strictBrackets: true } as const;

/** Throws `InputError` that names the bad glob. */
export function compileSelection(rules: SelectionRules): Selection {
  const included = rules.include.length > 0 ? compile(rules.include) : () => true;
  const excluded = rules.exclude.length > 0 ? compile(rules.exclude) : () => false;
  return ({ path, size }) => {
    if (size === 0 && path.endsWith('/')) return 'directory_marker';
    if (excluded(path)) return 'excluded';
    if (!included(path)) return 'not_included';
    if (rules.maxBytes !== null && size > rules.maxBytes) return 'too_large';
    return null;
  };
}

/**
 * What every included path begins with, so that a source need list no more than that: the common beginning of the
 * globs' fixed parts. `reports/2026/*.pdf` and `reports/2025/**` give `reports/202`.
 */
export function commonBeginning(include: readonly string[]): string {
  const fixed = include.map((glob) => {
    const { base, negated } = picomatch.scan(glob);
    return negated || base === '.' || /[\\!]/.test(base) ? '' : base;
  });
  let common = fixed[0] ?? '';
  for (const each of fixed) {
    let same = 0;
    while (same < common.length && common[same] === each[same]) same++;
    common = common.slice(0, same);
  }
  // Half of a surrogate pair is no text.
  return /[\uD800-\uDBFF]$/.test(common) ? common.slice(0, -1) : common;
}

function compile(globs: readonly string[]): (path: string) => boolean {
  const matchers = globs.map((glob) => {
    try {
      if (glob === '') throw new Error('empty');
      return glob === '**' ? () => true : picomatch(glob, OPTIONS);
    } catch {
      throw new InputError(
        'invalid_glob',
        `"${glob}" is not a glob.`,
        'Use patterns such as **/*.pdf or reports/2026/**',
      );
    }
  });
  return (path) => matchers.some((matches) => matches(path));
}
