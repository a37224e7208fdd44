import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { S3Server } from './servers/s3.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BIN = dirname(process.execPath);

const PROGRAM = `
import { createSecureCloudStorageConnector, getAvailableSecretIds, SecretManagerError, type SecureConnector } from 'lockgate';

const ids: string[] = await getAvailableSecretIds('s3');
const connector: SecureConnector = createSecureCloudStorageConnector('s3', ids[0] ?? '', { path: 's3://docs' });
for await (const entry of connector.list()) {
  const content = await connector.read(entry);
  const body = Buffer.concat(await Array.fromAsync(content.body));
  console.log(entry.path, entry.size, body.toString());
}
const error = await createSecureCloudStorageConnector('s3', 'nobody', { path: 's3://docs' }).check().catch((failure: unknown) => failure);
console.log(error instanceof SecretManagerError, (error as SecretManagerError).code);
`;

test('packed and installed into an empty project, the library and the command line work without development tools', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lockgate-package-'));
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${BIN}:${process.env.PATH}`,
    LOCKGATE_DATA_DIR: join(folder, 'data'),
    // Closed to others, as PostgreSQL's own user is one.
    TMPDIR: folder,
  };
  const server = await new S3Server().listen();
  try {
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: ROOT,
      env: environment,
      maxBuffer: 1 << 24,
    });
    const packed = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
    const { filename, files } = (Array.isArray(packed) ? packed[0] : Object.values(packed)[0]) as {
      filename: string;
      files: { path: string }[];
    };
    for (const { path } of files)
      expect(path).toMatch(/^(bin|dist)\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/);
    const project = join(folder, 'project');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }');
    await run(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)],
      {
        cwd: project,
        env: environment,
        maxBuffer: 1 << 24,
      },
    );
    const installed = await readdir(join(project, 'node_modules'));
    for (const tool of ['typescript', 'vitest', 'node', 'fast-check']) expect(installed).not.toContain(tool);

    await writeFile(join(project, 'main.ts'), PROGRAM);
    await mkdir(join(project, 'node_modules', '@types'), { recursive: true });
    await symlink(join(ROOT, 'node_modules', '@types', 'node'), join(project, 'node_modules', '@types', 'node')).catch(
      () => undefined,
    );
    const types = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'esnext',
      '--lib',
      'esnext',
      '--types',
      'node',
      'main.ts',
    ];
    await run(join(ROOT, 'node_modules', '.bin', 'tsc'), types, { cwd: project, env: environment }).catch((error) => {
      throw new Error(error.stdout);
    });

    server.keys.set('AKIAFAKEPACKAGE', { secretAccessKey: 'fake' });
    for (const key of ['a', 'b']) server.put('docs', key, `body of ${key}`);
    Object.assign(environment, { LOCKGATE_ALLOWED_ENDPOINTS: server.endpoint });
    await writeFile(
      join(project, 'credential.json'),
      JSON.stringify({ access_key_id: 'AKIAFAKEPACKAGE', secret_access_key: 'fake', endpoint: server.endpoint }),
    );
    const lockgate = join(project, 'node_modules', '.bin', 'lockgate');
    await run(lockgate, ['secrets', 'put', 'my-creds', '--type', 's3', '--file', 'credential.json'], {
      cwd: project,
      env: environment,
    });
    // The embedded database starts although no install script has run.
    const made = await run(lockgate, ['collections', 'create', 'handbook', '--json'], {
      cwd: project,
      env: environment,
    });
    expect(JSON.parse(made.stdout)).toMatchObject({ name: 'handbook', documents: 0 });
    const answer = await run(process.execPath, ['main.ts'], { cwd: project, env: environment });
    expect(answer.stdout).toBe('a 9 body of a\nb 9 body of b\ntrue credential_not_found\n');
  } finally {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
}, 300_000);
