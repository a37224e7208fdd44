import { defineConfig } from 'vitest/config';
import { makeMemoryFolder } from './test/memory-folder.ts';

// Where a machine wants the result, it names a file.
const report = process.env.LOCKGATE_TEST_REPORT;

// Where the tests' folders come to lie.
const folder = makeMemoryFolder();
if (folder) process.env.TMPDIR = folder;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/postgres.ts'],
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    pool: 'forks',
    maxWorkers: 2,
    // A test that hangs is found a little later; one on a machine that others keep busy passes.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 20_000 } },
    // Two settings of the machine that tests must not depend on.
    env: { AWS_CA_BUNDLE: '', AWS_CONFIG_FILE: '/nonexistent', AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' },
  },
});
