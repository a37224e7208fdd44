import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);
const BIN = fileURLToPath(new URL('../bin/lockgate', import.meta.url));

describe('what a start runs', () => {
  let root: string;
  const at = async (file: string, seconds: number) => utimes(join(root, file), seconds, seconds);
  const started = async () => {
    const environment = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
    return (await run(join(root, 'bin/lockgate'), [], { env: environment })).stdout.trim();
  };
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'lockgate-start-'));
    const files = {
      'src/cli/main.ts': `console.log('sources');`,
      'connectors/s3/connector.ts': '',
      'dist/lockgate/main.js': `console.log('built');`,
      'package.json': '{ "type": "module" }',
    };
    for (const [file, text] of Object.entries(files)) {
      await mkdir(join(root, dirname(file)), { recursive: true });
      await writeFile(join(root, file), text);
    }
    await mkdir(join(root, 'bin'));
    await copyFile(BIN, join(root, 'bin/lockgate'));
    const all = ['src/cli/main.ts', 'src/cli', 'src', 'connectors/s3/connector.ts', 'connectors/s3', 'connectors'];
    for (const each of all) await at(each, 1000);
  });
  afterAll(() => rm(root, { recursive: true }));

  test('is what was built, while no source is younger', async () => {
    expect(await started()).toBe('built');
  });

  test.each([
    ['a source that was changed', 'connectors/s3/connector.ts'],
    ['a folder that lost one', 'connectors/s3'],
  ])('is the sources after %s', async (_, path) => {
    await at(path, Date.now() / 1000 + 60);
    expect(await started()).toBe('sources');
    await at(path, 1000);
    expect(await started()).toBe('built');
  });

  test('is the sources before anything is built, and what was built where no source is', async () => {
    const built = join(root, 'dist/lockgate/main.js');
    await rm(built);
    expect(await started()).toBe('sources');
    await writeFile(built, `console.log('built');`);
    await rm(join(root, 'src'), { recursive: true });
    expect(await started()).toBe('built');
  });
});
