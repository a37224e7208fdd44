import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { VERSION } from '../src/version.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * Which room may import which. A room is a folder of the design; `src/contract` is open to all. What is not here is
 * forbidden.
 */
const PERMITTED: Readonly<Record<string, readonly string[]>> = {
  'src/contract': [],
  'src/layers': [],
  // Who the deployment itself is at Google.
  'src/google': [],
  'src/secrets': ['src/google'],
  'src/content': ['src/google'],
  'src/audit': [],
  'src/db': [],
  'src/collections': [],
  'src/sync': [],
  'connectors/memory': [],
  // The requests of which there are millions, of the three object stores.
  'connectors/http': [],
  'connectors/s3': ['connectors/http'],
  'connectors/gcs': ['connectors/http'],
  // Microsoft's identity service, which two of its clouds share.
  'connectors/entra': [],
  'connectors/azure': ['connectors/entra', 'connectors/http'],
  'connectors/sharepoint': ['connectors/entra'],
  'connectors/index.ts': ['connectors/azure', 'connectors/gcs', 'connectors/s3', 'connectors/sharepoint'],
  'src/clock.ts': [],
  'src/log.ts': [],
  'src/version.ts': [],
  'src/places.ts': [],
  // The configuration is typed by what it configures.
  'src/config.ts': [
    'src/access',
    'src/audit',
    'src/content',
    'src/db',
    'src/places.ts',
    'src/secrets',
    'src/securestore',
    'src/version.ts',
  ],
  // Looks for values of secrets where none may be.
  'src/leakcheck': [],
  // The secret server: a program apart, with its own database and its own keys.
  'src/securestore': ['src/access', 'src/audit', 'src/db', 'src/google', 'src/log.ts', 'src/secrets', 'src/version.ts'],
  'src/jobs': ['connectors/index.ts', 'src/collections', 'src/layers', 'src/sync', 'src/log.ts'],
  // Threads that help with a run: a composition root of their own, and what starts them.
  'src/threads': [
    'src/clock.ts',
    'src/collections',
    'src/content',
    'src/db',
    'src/jobs',
    'src/layers',
    'src/log.ts',
    'src/secrets',
    'src/tracing.ts',
  ],
  // The halves of the secret managers that add and list, with the audit log around them.
  'src/directories.ts': ['src/layers', 'src/secrets'],
  // The halves that read.
  'src/credentials.ts': ['src/directories.ts', 'src/layers', 'src/secrets'],
  'src/database-login.ts': ['src/clock.ts', 'src/config.ts', 'src/layers', 'src/secrets'],
  // What every role stands on.
  'src/foundation.ts': [
    'src/audit',
    'src/clock.ts',
    'src/collections',
    'src/config.ts',
    'src/content',
    'src/database-login.ts',
    'src/db',
    'src/jobs',
    'src/log.ts',
    'src/secrets',
    'src/tracing.ts',
  ],
  // Who may do what.
  'src/access': [],
  // What the interface and the command line do, each once.
  'src/service': [
    'connectors/index.ts',
    'src/access',
    'src/audit',
    'src/clock.ts',
    'src/collections',
    'src/jobs',
    'src/secrets',
    'src/sync',
  ],
  'src/tracing.ts': [],
  'src/http': ['src/access', 'src/collections', 'src/layers', 'src/log.ts', 'src/service', 'src/version.ts'],
  'src/client': [],
  // The pages: a client of the interface like any other.
  web: ['src/client'],
  // The composition root of the API role.
  'src/api.ts': [
    'src/access',
    'src/audit',
    'src/clock.ts',
    'src/collections',
    'src/config.ts',
    'src/directories.ts',
    'src/http',
    'src/jobs',
    'src/layers',
    'src/log.ts',
    'src/secrets',
    'src/service',
  ],
  'src/main.ts': [
    'src/version.ts',
    'src/clock.ts',
    'src/collections',
    'src/config.ts',
    'src/credentials.ts',
    'src/foundation.ts',
    'src/jobs',
    'src/layers',
    'src/log.ts',
    'src/secrets',
    'src/service',
    'src/threads',
  ],
  'src/secure-connector.ts': [
    'src/audit',
    'src/clock.ts',
    'src/config.ts',
    'src/credentials.ts',
    'src/jobs',
    'src/layers',
    'src/secrets',
    'src/sync',
  ],
  'src/index.ts': ['src/client', 'src/secure-connector.ts'],
  'src/cli': [
    'src/audit',
    'src/leakcheck',
    'src/log.ts',
    'src/securestore',
    'connectors/index.ts',
    'src/api.ts',
    'src/client',
    'src/clock.ts',
    'src/collections',
    'src/config.ts',
    // Only to have the embedded server started, and to stop it.
    'src/db',
    'src/foundation.ts',
    'src/jobs',
    'src/main.ts',
    'src/places.ts',
    'src/secrets',
    'src/service',
    'src/version.ts',
  ],
};

/** Lines over the limits of length, each with its reason. */
const LONGER_FILES: readonly string[] = [];
const LONGER_FUNCTIONS: readonly string[] = [];
/** The configuration, and what is needed of it before it is loaded. */
const READS_ENVIRONMENT: readonly string[] = ['src/config.ts', 'src/places.ts'];
const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;

/** Who may unwrap a secret, beside connectors and secret-manager backends. */
const REVEALS = [
  // The deployment's own database URL, on its way to the driver.
  'src/db/open.ts',
  // On its way to the service, over a connection that the caller chose.
  'src/client/client.ts',
  // The deployment's own client secret, on its way to the issuer.
  'src/access/browser-sign-in.ts',
  // The deployment's own credential for its container, on its way to the SDK.
  'src/content/azure.ts',
  // What it is for: sealed on its way in, given to who may have it on its way out.
  'src/securestore/seal.ts',
  'src/securestore/server.ts',
];

interface Source {
  readonly path: string;
  readonly text: string;
}

function sourcesBelow(...folders: string[]): Source[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.tsx?$/.test(name) && !name.endsWith('.d.ts'))
      .map((name) => join(folder, name))
      .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
  );
}

function roomOf(path: string): string {
  return Object.keys(PERMITTED).find((room) => path === room || path.startsWith(`${room}/`)) ?? path;
}

function importsOf({ path, text }: Source): string[] {
  const found = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1] as string);
  return found.map((name) => (name.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), name)) : name));
}

/** What is wrong with the sources; empty when the house is tidy. */
function violations(sources: readonly Source[]): string[] {
  const found: string[] = [];
  for (const source of sources) {
    const { path, text } = source;
    const room = roomOf(path);
    if (!PERMITTED[room]) found.push(`${path} is in no room`);
    for (const name of importsOf(source)) {
      const ours = name.startsWith('src/') || name.startsWith('connectors/');
      const target = roomOf(name);
      if (ours && target !== room && target !== 'src/contract' && !PERMITTED[room]?.includes(target))
        found.push(`${path} may not import ${name}`);
      const storage =
        /^@aws-sdk\/(client-(s3|sts|iam)\b|credential-)|^@smithy\/|^@google-cloud\/storage|^@azure\/storage-blob|^@microsoft\//.test(
          name,
        );
      if (storage && !/^connectors\/|^src\/content\/(s3|gcs|azure)\.ts$/.test(path))
        found.push(`${path} may not import the storage SDK ${name}`);
      if (
        /^(google-auth-library|@azure\/(identity|core-))/.test(name) &&
        !/^(connectors|src\/(secrets|google))\/|^src\/content\/azure\.ts$/.test(path)
      )
        found.push(`${path} may not import ${name}`);
      const secret =
        /^age-encryption|^@aws-sdk\/client-(secrets-manager|kms)|^@google-cloud\/secret-manager|^@azure\/keyvault/.test(
          name,
        );
      if (secret && !path.startsWith('src/secrets/') && !/^src\/securestore\/(aws-kms|azure-key)\.ts$/.test(path))
        found.push(`${path} may not import the secret SDK ${name}`);
      if (path.endsWith('directory.ts') && /\/reader\.ts$|open-reader/.test(name))
        found.push(`${path} may not reach a reader`);
    }
    if (/\bprocess\.env\b/.test(text) && !READS_ENVIRONMENT.includes(path))
      found.push(`${path} may not read process.env`);
    if (
      /\.reveal\(\)/.test(text) &&
      !path.startsWith('connectors/') &&
      !path.startsWith('src/secrets/') &&
      !REVEALS.includes(path)
    )
      found.push(`${path} may not call reveal()`);
    if (/\bconsole\.|from 'pino'/.test(text) && path !== 'src/log.ts') found.push(`${path} may not write logs`);
    if (/\bTODO\b|\bFIXME\b/.test(text)) found.push(`${path} has a TODO`);
    if (/(^|\/)(utils?|helpers?|common|misc|base)(\/|\.ts$)/.test(path))
      found.push(`${path} has a name that says nothing`);
    const lines = text.split('\n').length;
    if (lines > MAX_FILE_LINES && !LONGER_FILES.includes(path)) found.push(`${path} has ${lines} lines`);
    for (const [name, length] of functionsOf(text)) {
      if (length > MAX_FUNCTION_LINES && !LONGER_FUNCTIONS.includes(`${path}:${name}`))
        found.push(`${path}: ${name} has ${length} lines`);
    }
  }
  return found;
}

/** Top-level functions and methods with their lengths, told by the formatter's indentation. */
function functionsOf(text: string): [name: string, lines: number][] {
  const found: [string, number][] = [];
  const lines = text.split('\n');
  for (const [start, line] of lines.entries()) {
    const head = /^( {0,2})(?:export )?(?:async )?(?:function\*? (\w+)|(#?\w+)\(.*\{$|const (\w+) = .*=> \{$)/.exec(
      line,
    );
    if (!head) continue;
    const close = lines.findIndex((each, at) => at > start && new RegExp(`^${head[1]}\\}`).test(each));
    if (close > 0) found.push([head[2] ?? head[3] ?? head[4] ?? '', close - start + 1]);
  }
  return found;
}

describe('the house', () => {
  test('is tidy', () => {
    expect(violations(sourcesBelow('src', 'connectors', 'web'))).toEqual([]);
  });

  test('finds what is injected', () => {
    const inject = (path: string, text: string) => violations([{ path, text }]);
    expect(inject('src/sync/x.ts', "import { a } from '../collections/runs.ts';")).toEqual([
      'src/sync/x.ts may not import src/collections/runs.ts',
    ]);
    expect(inject('connectors/s3/x.ts', "import { a } from '../memory/connector.ts';")).toHaveLength(1);
    expect(inject('src/contract/x.ts', "import { a } from '../log.ts';")).toHaveLength(1);
    expect(inject('src/cli/x.ts', "import { S3Client } from '@aws-sdk/client-s3';")).toHaveLength(1);
    expect(inject('src/jobs/x.ts', "import * as age from 'age-encryption';")).toHaveLength(1);
    expect(inject('src/jobs/x.ts', 'const secret = process.env.SECRET;')).toHaveLength(1);
    expect(inject('src/jobs/x.ts', 'log(credential.reveal());')).toHaveLength(1);
    expect(inject('src/jobs/x.ts', "console.log('here');")).toHaveLength(1);
    expect(inject('src/secrets/file/directory.ts', "import { openFileReader } from './reader.ts';")).toHaveLength(1);
    expect(inject('src/elsewhere/x.ts', '')).toEqual(['src/elsewhere/x.ts is in no room']);
    expect(inject('src/sync/utils.ts', '')).toHaveLength(1);
    expect(inject('src/sync/x.ts', '\n'.repeat(MAX_FILE_LINES + 1))).toHaveLength(1);
    expect(inject('src/sync/x.ts', `function long() {\n${'  x();\n'.repeat(MAX_FUNCTION_LINES)}}\n`)).toHaveLength(1);
  });

  test('no import leads in a circle', () => {
    const imports = new Map(sourcesBelow('src', 'connectors', 'web').map((source) => [source.path, importsOf(source)]));
    const visiting = new Set<string>();
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (path: string): void => {
      if (done.has(path)) return;
      if (visiting.has(path)) return void circles.push(path);
      visiting.add(path);
      for (const next of imports.get(path) ?? []) if (imports.has(next)) visit(next);
      visiting.delete(path);
      done.add(path);
    };
    for (const path of imports.keys()) visit(path);
    expect(circles).toEqual([]);
  });

  test('what only adds and lists secrets cannot reach what reads them', () => {
    const imports = new Map(sourcesBelow('src', 'connectors').map((source) => [source.path, importsOf(source)]));
    const reached = new Set<string>();
    const walk = (path: string): void => {
      if (reached.has(path) || !imports.has(path)) return;
      reached.add(path);
      for (const next of imports.get(path) ?? []) walk(next);
    };
    walk('src/secrets/open-directory.ts');
    expect(reached.size).toBeGreaterThan(4);
    // The role that listens: its composition root, its routes and all that they lead to.
    walk('src/api.ts');
    expect(reached.size).toBeGreaterThan(80);
    const readers = [...reached].filter((path) =>
      /reader|reading|credentials\.ts|deployment\.ts|bundle|rekey/.test(path),
    );
    expect(readers).toEqual([]);
    // And the search would find them: workers do reach them.
    walk('src/main.ts');
    expect([...reached].filter((path) => path.includes('reader')).length).toBeGreaterThan(8);
  });

  test('the version is said once', () => {
    expect(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version).toBe(VERSION);
    expect(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')).toContain(`## ${VERSION}`);
  });

  test('no lock file names a registry', () => {
    expect(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).not.toContain('"resolved"');
  });
});
