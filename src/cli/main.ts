import { Command, CommanderError, Option } from 'commander';
import { CONNECTOR_TYPES } from '../contract/connector.ts';
import { VERSION } from '../version.ts';
import { EXIT } from './exit.ts';
import { BEHIND, collect, globalsOf } from './globals.ts';
import { addManagerCommands } from './secret-commands.ts';
import { addSecureStoreCommands } from './securestore-commands.ts';
import { addCollectionCommands, addServiceCommands, addSourceCommands } from './service-commands.ts';

/** The commands with their help. What a command does is loaded when it runs, so that help costs nothing. */
const program = new Command('lockgate')
  .description('Keeps collections of documents in step with cloud storage, without ever letting the keys out.')
  .version(VERSION, '-v, --version')
  .option('--json', 'print JSON')
  .helpCommand(false)
  .showHelpAfterError('(add --help for the options)')
  .exitOverride();

const type = (description: string) => new Option('--type <type>', description).choices([...CONNECTOR_TYPES]);
const manager = () => new Option('--manager <name>', 'the secret manager; absent: the default one');
const number = (text: string) => {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new CommanderError(EXIT.usage, 'commander.invalidArgument', `error: "${text}" is not a number of 0 or more.`);
};

const secrets = program.command('secrets').description('credentials in the secret manager');
secrets
  .command('put <id>')
  .description('add a credential, or a new version of it, from standard input or a file')
  .addOption(
    new Option('--type <type>', 'the connector type that it opens, or the database')
      .choices([...CONNECTOR_TYPES, 'database'])
      .makeOptionMandatory(),
  )
  .option('--file <path>', 'read the credential from this file')
  .addOption(manager())
  .option('--for-collection <name>', 'may be used for this collection only; may be repeated', collect, [])
  .option('--for-path <path>', 'may be used for this path and below only; may be repeated', collect, [])
  .option('--any-use', 'may be used for everything again')
  .option('--expires <time>', 'when it ends, where it does not say so itself')
  .addHelpText(
    'after',
    '\nExample:\n  lockgate secrets put my-creds --type s3 < credential.json\n\n  credential.json: { "access_key_id": "...", "secret_access_key": "...", "region": "eu-west-1" }\n  What else it may say: lockgate secrets schema --type s3',
  )
  .action(async (id, options) => (await import('./secrets.ts')).put(globals(), id, options));
secrets
  .command('schema')
  .description('show what a credential is made of; with --json, its JSON Schema')
  .addOption(type('the connector type').makeOptionMandatory())
  .action(async (options) => (await import('./secrets.ts')).schema(globals(), options));
secrets
  .command('list')
  .description('list credential IDs, never values')
  .addOption(type('only of this connector type'))
  .addOption(manager())
  .action(async (options) => (await import('./secrets.ts')).list(globals(), options));
secrets
  .command('describe <id>')
  .description('show a credential: its type, its versions, and the sources that use it')
  .addOption(manager())
  .action(async (id, options) => (await import('./secrets.ts')).describe(globals(), id, options));
secrets
  .command('remove <id>')
  .description('remove a credential with all its versions')
  .option('--force', 'also when sources use it')
  .addOption(manager())
  .action(async (id, options) => (await import('./secrets.ts')).remove(globals(), id, options));

addManagerCommands(secrets);

const collections = program.command('collections').description('collections of documents');
collections
  .command('create <name>')
  .description('make an empty collection')
  .action(async (name) => (await import('./collections.ts')).create(globals(), name));
collections
  .command('list')
  .description('list the collections')
  .action(async () => (await import('./collections.ts')).list(globals()));
addCollectionCommands(collections);
collections
  .command('show <name>')
  .description('show a collection and its sources')
  .action(async (name) => (await import('./collections.ts')).show(globals(), name));

const sources = program.command('sources').description('where the documents of a collection come from');
sources
  .command('add')
  .description('connect a collection with a bucket')
  .requiredOption('--collection <name>', 'the collection')
  .addOption(type('the connector type').makeOptionMandatory())
  .requiredOption('--credential <id>', 'the credential: my-creds, or my-manager:path/to/secret#version')
  .option(
    '--credential-field <field=name>',
    'where a secret of another tool names its fields otherwise; may be repeated',
    collect,
    [],
  )
  .requiredOption('--path <path>', 'such as s3://bucket/folder')
  .option('--include <glob>', 'only paths that match; may be repeated', collect, [])
  .option('--exclude <glob>', 'not paths that match; may be repeated', collect, [])
  .option('--max-bytes <bytes>', 'leave larger objects out', number)
  .option('--set <name=value>', 'a setting of the connector, such as site_pages=true; may be repeated', collect, [])
  .option('--cron <expression>', 'sync when this is due (five or six fields)')
  .option('--timezone <zone>', 'the time zone of --cron', 'UTC')
  .option('--every <interval>', 'sync at this interval, such as 15m')
  .option('--no-auto-sync', 'keep the schedule switched off')
  .option('--jitter <seconds>', 'put each due time off by a random part of this', number, 0)
  .option('--worker-label <label>', 'only workers with this label take it, such as one of a network zone')
  .option('--pause-after <count>', 'pause when so many runs in a row failed; 0: never', number, 50)
  .option('--guard-documents <count>', 'a run that would remove more documents than this', number, 100)
  .option('--guard-share <share>', 'and more than this share of the source (0 to 1) waits for approval', number, 0.5)
  .addHelpText(
    'after',
    "\nExample:\n  lockgate sources add --collection handbook --type s3 --credential my-creds --path s3://bucket/docs \\\n    --include '**/*.pdf' --cron '*/15 * * * *' --timezone Europe/Paris",
  )
  .action(async (options) => (await import('./sources.ts')).add(globals(), options));
sources
  .command('check <id>')
  .description('try what a sync does, and say what to fix')
  .action(async (id) => (await import('./sources.ts')).check(globals(), id));
sources
  .command('list')
  .description('list the sources')
  .option('--collection <name>', 'only of this collection')
  .action(async (options) => (await import('./sources.ts')).list(globals(), options));
sources
  .command('remove <id>')
  .description('remove a source and the documents that came from it')
  .option('--keep-documents', 'leave the documents as they are')
  .action(async (id, options) => (await import('./sources.ts')).remove(globals(), id, options));

program
  .command('sync <collection>')
  .description('sync all sources of a collection now, and wait')
  .option('--source <id>', 'only this source')
  .option('--dry-run', 'list and compare, and say what would be done')
  .addHelpText(
    'after',
    `\nExit codes: ${EXIT.ok} done; ${EXIT.failed} a run failed; ${EXIT.partial} done, but some documents failed; ${EXIT.approval} removals wait for approval.`,
  )
  .action(async (collection, options) => (await import('./sync.ts')).sync(globals(), collection, options));

addSourceCommands(sources);
addServiceCommands(program);

const runs = program.command('runs').description('what syncs did');
runs
  .command('list')
  .description('list the latest runs')
  .option('--collection <name>', 'only of this collection')
  .option('--state <state>', 'only in this state, such as failed')
  .option('--limit <count>', 'how many', number, 20)
  .action(async (options) => (await import('./runs.ts')).list(globals(), options));
runs
  .command('show <id>')
  .description('show a run with its figures and what failed')
  .action(async (id) => (await import('./runs.ts')).show(globals(), id));
runs
  .command('cancel <id>')
  .description('stop a run')
  .action(async (id) => (await import('./runs.ts')).cancel(globals(), id));
runs
  .command('approve <id>')
  .description('let a run that waits for approval remove what its source no longer has')
  .action(async (id) => (await import('./sync.ts')).approve(globals(), id));

const documents = program.command('documents').description('the documents of a collection');
documents
  .command('list <collection>')
  .description('list documents')
  .option('--limit <count>', 'how many', number, 50)
  .option('--cursor <cursor>', 'the nextCursor of the page before')
  .option('--source <id>', 'only of this source')
  .option('--prefix <text>', 'only paths that begin with this')
  .option('--content-type <type>', 'only of this content type')
  .option('--sort <order>', 'key, path, modified, size, -modified or -size')
  .action(async (collection, { contentType, ...options }) =>
    (await import('./documents.ts')).list(globals(), collection, {
      ...options,
      ...(contentType ? { type: contentType } : {}),
    }),
  );
documents
  .command('get <id>')
  .description("write a document's content to standard output or a file; with --json, show its record")
  .option('--output <path>', 'write to this file')
  .action(async (id, options) => (await import('./documents.ts')).get(globals(), id, options));
documents
  .command('failures <collection>')
  .description('list what could not be fetched')
  .option('--limit <count>', 'how many at the most', number, 100)
  .action(async (collection, options) => (await import('./documents.ts')).failures(globals(), collection, options));
documents
  .command('retry <collection>')
  .description('have what could not be fetched tried again by the next run, also what was given up')
  .option('--path <path>', 'only this one')
  .action(async (collection, options) => (await import('./documents.ts')).retry(globals(), collection, options));

program
  .command('changes <collection>')
  .description('what the collection gained, changed and lost, in order')
  .option('--after <number>', 'only changes after this one', number, 0)
  .option('--limit <count>', 'how many at the most', number)
  .option('--follow', 'wait for more')
  .addHelpText(
    'after',
    '\nWith --json each line is one change; go on from the number of the last one that you handled.',
  )
  .action(async (collection, options) => (await import('./changes.ts')).changes(globals(), collection, options));

program
  .command('worker')
  .description('run schedules and crawl, until stopped')
  .option('--concurrency <runs>', 'runs at once', number, 4)
  .option('--no-schedule', 'leave the schedules to others')
  .action(async (options) => (await import('./worker.ts')).worker(options));

program
  .command('serve')
  .description('serve the API, run schedules and crawl, until stopped')
  .addOption(
    new Option('--role <role>', 'only a part of it').choices(['all', 'api', 'scheduler', 'worker']).default('all'),
  )
  .option('--concurrency <runs>', 'runs at once', number, 4)
  .addOption(new Option('--supervised').hideHelp())
  .action(async (options) => (await import('./serve.ts')).serve(options));

const auditLog = program.command('audit').description('what was done with which credential, by whom and why');
auditLog
  .command('list')
  .description('list the latest events')
  .option('--limit <count>', 'how many at the most', number, 100)
  .option('--secret <id>', 'only of this credential')
  .action(async (options) => (await import('./audit.ts')).list(globals(), options));
auditLog
  .command('verify')
  .description('check that nothing was edited, removed, moved or cut off')
  .option('--head <head>', 'a head that was noted before, which the log must still have')
  .option('--behind <head>', BEHIND)
  .action(async (options) => (await import('./audit.ts')).verify(globals(), options));

auditLog
  .command('blast <secret>')
  .description('who accessed which versions of a credential, for which runs and documents')
  .option('--since <time>', 'only from then on')
  .option('--limit <count>', 'runs and documents at the most', number, 20)
  .action(async (secret, options) => (await import('./audit.ts')).blast(globals(), secret, options));

program
  .command('leakcheck [paths...]')
  .description('look for every value of every secret in tables, queue, files and the logs that are named')
  .action(async (paths) => (await import('./leakcheck.ts')).leakcheck(globals(), paths));

addSecureStoreCommands(program);

program
  .command('doctor')
  .description('check the set-up and say what to fix')
  .action(async () => (await import('./doctor.ts')).doctor(globals()));

function globals() {
  return globalsOf(program);
}

/** Nothing but what is wrong with their options keeps these from the database. */
const WITH_DATABASE: readonly string[] =
  'collections sources sync explain plans apply runs documents changes workers tokens webhooks workspaces'.split(' ');
let startedAhead: string | null = null;
program.hook('preAction', async (_, command) => {
  let top: typeof command = command;
  while (top.parent && top.parent !== program) top = top.parent;
  if (WITH_DATABASE.includes(top.name())) startedAhead = await (await import('./ahead.ts')).startDatabase();
});

// A reader that has seen enough, such as `head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
});

// `--json` may stand anywhere, as in `documents list handbook --json`.
const words = process.argv.slice(2);
const json = words.includes('--json');
try {
  await program.parseAsync([...(json ? ['--json'] : []), ...words.filter((word) => word !== '--json')], {
    from: 'user',
  });
} catch (error) {
  if (error instanceof CommanderError) {
    const asked = ['commander.helpDisplayed', 'commander.version', 'commander.help'].includes(error.code);
    if (error.code === 'commander.invalidArgument' && error.exitCode === EXIT.usage)
      process.stderr.write(`${error.message}\n`);
    process.exitCode = asked && error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    process.exitCode = await (await import('./failure.ts')).report(error, json);
  }
} finally {
  if (startedAhead) await (await import('../db/embedded.ts')).stopUnused(startedAhead);
}
