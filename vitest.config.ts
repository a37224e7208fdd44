import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { makeMemoryFolder } from './test/memory-folder.ts';

// Where a machine wants the result, it names a file.
const report = process.env.LOCKGATE_TEST_REPORT;

// Where the tests' folders come to lie.
const folder = makeMemoryFolder();
if (folder) process.env.TMPDIR = folder;

/** These take a minute each: begun last, one of them would have a core wait for it. */
const LONGEST = ['torment/torment', 'web/pages', 'clouds', 'securestore/life', 'cli/cli', 'torment/apart'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) =>
      LONGEST.some((name) => moduleId.endsWith(`/test/${name}.test.ts`));
    return (await super.sort(files)).sort((a, b) => Number(isLong(b)) - Number(isLong(a)));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/postgres.ts'],
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // A test that hangs is found a little later; one on a machine that others keep busy passes.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 20_000 } },
    // Two settings of the machine that tests must not depend on.
    env: { AWS_CA_BUNDLE: '', AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' },
  },
});
