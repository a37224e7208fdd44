/**
 * The main job from nothing to documents, on embedded defaults: `npm run demo`. It starts an S3 server on loopback that
 * checks signatures, fills a bucket with the documents found in the installed packages, and then types the commands
 * that a user would type. Everything it makes is in one temporary folder, which it removes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mime from 'mime-types';
import { findInFiles } from '../test/canary.ts';
import { S3Server } from '../test/servers/s3.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAX_DOCUMENTS = 800;
const MAX_DOCUMENT_BYTES = 4_000_000;

const bold = (text: string) => (process.stdout.isTTY ? `\x1b[1m${text}\x1b[0m` : text);
const say = (text: string) => void process.stdout.write(`${text}\n`);
let running: ChildProcess | undefined;

/** Shows the command, runs it, and shows what it prints; `input` is its standard input. */
async function type(
  environment: Record<string, string>,
  shown: string,
  words: readonly string[],
  input = '',
): Promise<string> {
  say(`\n${bold(`$ ${shown}`)}`);
  const out: Buffer[] = [];
  const child = spawn(join(ROOT, 'bin', 'lockgate'), words, { env: environment, stdio: ['pipe', 'pipe', 'inherit'] });
  running = child;
  child.stdin.end(input);
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk);
    if (!words.includes('--json')) process.stdout.write(chunk);
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`"${shown}" ended with ${code}`);
  return Buffer.concat(out).toString();
}

async function fillBucket(server: S3Server): Promise<number> {
  const folder = join(ROOT, 'node_modules');
  const names = (await readdir(folder, { recursive: true }))
    .filter((name) => /\.(md|pdf)$|(^|\/)LICENSE[^/]*$/i.test(name))
    .sort();
  let filled = 0;
  for (const name of names) {
    if (filled === MAX_DOCUMENTS) break;
    const body = await readFile(join(folder, name)).catch(() => null);
    if (!body || body.length === 0 || body.length > MAX_DOCUMENT_BYTES) continue;
    server.put('handbook', `docs/${name}`, body, {
      contentType: mime.lookup(basename(name)) || (extname(name) ? 'application/octet-stream' : 'text/plain'),
    });
    filled++;
  }
  return filled;
}

async function demo(folder: string, server: S3Server): Promise<void> {
  const accessKeyId = `AKIADEMO${randomBytes(6).toString('hex').toUpperCase()}`;
  const secretAccessKey = randomBytes(30).toString('base64');
  server.keys.set(accessKeyId, { secretAccessKey });
  const filled = await fillBucket(server);
  say(`An S3 server on ${server.endpoint} has a bucket "handbook" with ${filled} documents. It checks signatures;`);
  say(`the access key was made just now. Lockgate's data is in ${join(folder, 'data')}.`);
  const environment = {
    PATH: process.env.PATH ?? '',
    LOCKGATE_DATA_DIR: join(folder, 'data'),
    LOCKGATE_ALLOWED_ENDPOINTS: server.endpoint,
  };
  const credential = JSON.stringify({
    access_key_id: accessKeyId,
    secret_access_key: secretAccessKey,
    endpoint: server.endpoint,
  });

  say(bold('\n1. The credential goes into the secret manager, by standard input.'));
  await type(
    environment,
    'lockgate secrets put my-creds --type s3 < credential.json',
    ['secrets', 'put', 'my-creds', '--type', 's3'],
    credential,
  );
  await type(environment, 'lockgate secrets list', ['secrets', 'list']);

  say(bold('\n2. A collection, connected with the bucket, with auto-sync.'));
  await type(environment, 'lockgate collections create handbook', ['collections', 'create', 'handbook']);
  await type(
    environment,
    "lockgate sources add --collection handbook --type s3 --credential my-creds --path s3://handbook/docs --cron '*/15 * * * *' --timezone Europe/Paris",
    [
      'sources',
      'add',
      '--collection',
      'handbook',
      '--type',
      's3',
      '--credential',
      'my-creds',
      '--path',
      's3://handbook/docs',
      '--cron',
      '*/15 * * * *',
      '--timezone',
      'Europe/Paris',
    ],
  );

  say(bold('\n3. The first sync. (A running `lockgate worker` does the same by the schedule.)'));
  await type(environment, 'lockgate sync handbook', ['sync', 'handbook']);
  await type(environment, 'lockgate documents list handbook --limit 5', [
    'documents',
    'list',
    'handbook',
    '--limit',
    '5',
  ]);

  say(bold('\n4. Three objects change in the bucket and one is deleted. The next sync finds just that.'));
  const keys = [...(server.buckets.get('handbook')?.keys() ?? [])];
  for (const key of keys.slice(0, 3))
    server.put('handbook', key, `changed for the demo: ${key}`, { contentType: 'text/markdown' });
  server.delete('handbook', keys[3] as string);
  await type(environment, 'lockgate sync handbook', ['sync', 'handbook']);
  await type(environment, `lockgate changes handbook --after ${filled}`, [
    'changes',
    'handbook',
    '--after',
    String(filled),
  ]);

  say(bold('\n5. Where the documents are.'));
  const page = JSON.parse(
    await type(environment, 'lockgate documents list handbook --json --limit 1', [
      'documents',
      'list',
      'handbook',
      '--json',
      '--limit',
      '1',
    ]),
  );
  const { id, sha256, path, size } = page.items[0];
  say(`${page.total} documents; the first is ${path}, ${size} bytes, SHA-256 ${sha256.slice(0, 16)}...`);
  say(`A user reads it with: lockgate documents get ${id}`);
  say(`Its bytes are in ${join('data', 'content')}, where small documents lie together in packs.`);

  say(
    bold('\n6. And the key? Every file of the data folder is searched: tables, indexes, write-ahead log, audit log.'),
  );
  const hits = await findInFiles(join(folder, 'data'), [secretAccessKey, accessKeyId]);
  if (hits.length > 0) throw new Error(`the credential was found:\n${hits.join('\n')}`);
  say('The access key and its secret are in none of them: not plain, nor in base64, hex, URL or JSON encoding.');
  say('The one place is the sealed file of the secret manager, data/secrets/, and only the identity opens it.');
}

const folder = await mkdtemp(join(tmpdir(), 'lockgate-demo-'));
const server = await new S3Server().listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => running?.kill(signal));
try {
  await demo(folder, server);
  say(`\n${bold('That is the main job.')} Try it with a bucket of yours: README.md, "Your first bucket".`);
} catch (error) {
  process.stderr.write(`\nThe demo stopped: ${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}
