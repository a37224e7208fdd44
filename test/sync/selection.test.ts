import picomatch from 'picomatch';
import { expect, test } from 'vitest';
import { commonBeginning, compileSelection } from '../../src/sync/selection.ts';

test('the common beginning of globs is one of every path that they match', () => {
  const cases: [string[], string][] = [
    [[], ''],
    [['**/*.pdf'], ''],
    [['reports/2026/**'], 'reports/2026'],
    [['reports/2026/*.pdf', 'reports/2025/**'], 'reports/202'],
    [['reports/a.pdf'], 'reports/a.pdf'],
    [['reports*/a'], ''],
    [['{a,b}/c'], ''],
    [['!reports/**'], ''],
    [['a\\*b/**'], ''],
    [['a/**', 'b/**'], ''],
    [['😀/**', '😁/**'], ''],
  ];
  for (const [globs, expected] of cases) expect(commonBeginning(globs), globs.join(' ')).toBe(expected);
  const paths = [
    'reports',
    'reports/',
    'reports/2026',
    'reports/2026/x',
    'reports/a.pdf',
    'a/b',
    'a',
    'a*b/c',
    './a',
    'x/reports/2026',
  ];
  for (const [globs] of cases) {
    for (const path of paths) {
      if (globs.some((glob) => picomatch(glob, { dot: true })(path)))
        expect(path.startsWith(commonBeginning(globs)), `${globs} ${path}`).toBe(true);
    }
  }
});

test('why an entry is left out', () => {
  const select = compileSelection({ include: ['docs/**'], exclude: ['**/*.tmp'], maxBytes: 10 });
  expect(select({ path: 'docs/a', size: 10 })).toBeNull();
  expect(select({ path: 'docs/.hidden', size: 1 })).toBeNull();
  expect(select({ path: 'docs-old/a', size: 1 })).toBe('not_included');
  expect(select({ path: 'docs/a.tmp', size: 1 })).toBe('excluded');
  expect(select({ path: 'docs/a', size: 11 })).toBe('too_large');
  expect(select({ path: 'docs/', size: 0 })).toBe('directory_marker');
});
