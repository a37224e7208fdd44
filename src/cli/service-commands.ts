import { type Command, Option } from 'commander';
import { collect, globalsOf } from './globals.ts';

export function addCollectionCommands(collections: Command): void {
  const globals = () => globalsOf(collections);
  collections
    .command('rename <name> <to>')
    .description('rename a collection')
    .action(async (name, to) => (await import('./collections.ts')).rename(globals(), name, to));
  collections
    .command('limit <name>')
    .description('bound what a collection may have')
    .option('--documents <count>', 'documents at the most, or none')
    .option('--bytes <count>', 'bytes at the most, or none')
    .action(async (name, options) => (await import('./collections.ts')).limit(globals(), name, options));
  collections
    .command('remove <name>')
    .description('remove a collection with its sources, documents and change feed')
    .action(async (name) => (await import('./collections.ts')).remove(globals(), name));
}

export function addSourceCommands(sources: Command): void {
  const globals = () => globalsOf(sources);
  sources
    .command('move <id> <collection>')
    .description('move a source with its documents to another collection')
    .action(async (id, collection) => (await import('./sources.ts')).move(globals(), id, collection));
  sources
    .command('pause <id>')
    .description('do not follow the schedule of a source')
    .action(async (id) => (await import('./sources.ts')).pause(globals(), id));
  sources
    .command('resume <id>')
    .description('follow the schedule of a source again, at once')
    .action(async (id) => (await import('./sources.ts')).resume(globals(), id));
  sources
    .command('update <id>')
    .description('change a source; what is not given stays as it is')
    .option('--credential <id>', 'the credential')
    .option('--path <path>', 'such as s3://bucket/folder')
    .option('--include <glob>', 'only paths that match; may be repeated', collect)
    .option('--exclude <glob>', 'not paths that match; may be repeated', collect)
    .option('--max-bytes <bytes>', 'leave larger objects out', Number)
    .option('--set <name=value>', 'a setting of the connector; may be repeated', collect)
    .option('--cron <expression>', 'sync when this is due')
    .option('--timezone <zone>', 'the time zone of --cron', 'UTC')
    .option('--every <interval>', 'sync at this interval, such as 15m')
    .option('--auto-sync', 'switch the schedule on')
    .option('--no-auto-sync', 'switch the schedule off')
    .option('--guard-documents <count>', 'see sources add', Number)
    .option('--guard-share <share>', 'see sources add', Number)
    .action(async (id, options) => (await import('./sources.ts')).update(globals(), id, options));
}

/** What belongs to the service as a whole. */
export function addServiceCommands(program: Command): void {
  const globals = () => globalsOf(program);
  program
    .command('explain <source> <path>')
    .description('why a file is a document, or why it is not')
    .action(async (source, path) => (await import('./documents.ts')).explain(globals(), source, path));
  const plans = program.command('plans').description('what syncs would do');
  plans
    .command('execute <id>')
    .description('do exactly what a plan of sync --dry-run says')
    .action(async (id) => (await import('./sync.ts')).execute(globals(), id));
  program
    .command('apply')
    .description('make collections and their sources what a definition says; doing it again changes nothing')
    .requiredOption('-f, --file <path>', 'the definition, YAML or JSON')
    .option('--prune', 'remove sources of these collections that it does not name')
    .action(async (options) => (await import('./service.ts')).apply(globals(), options));
  program
    .command('content')
    .description('the content store')
    .command('collect')
    .description('remove content that no document refers to; workers do it once a day')
    .option('--grace-hours <hours>', 'how long nothing must have referred to it', Number, 24)
    .action(async (options) => (await import('./content.ts')).collect(globals(), options));
  program
    .command('workers')
    .description('who crawls')
    .command('list')
    .description('list the workers, and how many runs they are at')
    .action(async () => (await import('./workers.ts')).list(globals()));
  const tokens = program.command('tokens').description('API tokens');
  tokens
    .command('create <name>')
    .description('make a token; it is shown this once')
    .addOption(
      new Option('--role <role>', 'what it may do')
        .choices(['viewer', 'editor', 'secret-admin', 'auditor', 'admin'])
        .makeOptionMandatory(),
    )
    .option('--expires-in-days <days>', 'how long it is valid', Number, 90)
    .action(async (name, options) => (await import('./service.ts')).createToken(globals(), name, options));
  tokens
    .command('list')
    .description('list tokens, never themselves')
    .action(async () => (await import('./service.ts')).listTokens(globals()));
  tokens
    .command('revoke <id>')
    .description('make a token worthless')
    .action(async (id) => (await import('./service.ts')).revokeToken(globals(), id));
  addWebhookCommands(program);
  const workspaces = program.command('workspaces').description('tenants');
  workspaces
    .command('create <id>')
    .description('make a workspace')
    .action(async (id) => (await import('./service.ts')).createWorkspace(globals(), id));
  workspaces
    .command('list')
    .description('list the workspaces')
    .action(async () => (await import('./service.ts')).listWorkspaces(globals()));
}

function addWebhookCommands(program: Command): void {
  const globals = () => globalsOf(program);
  const webhooks = program.command('webhooks').description('who is told of changes');
  webhooks
    .command('create <collection> <url>')
    .description('tell an address of changes; the secret that signs them is shown this once')
    .option('--after <number>', 'from this change on; absent: from now on', Number)
    .action(async (collection, url, options) =>
      (await import('./service.ts')).createWebhook(globals(), collection, url, options),
    );
  webhooks
    .command('list <collection>')
    .description('list webhooks, and what keeps them from being told')
    .action(async (collection) => (await import('./service.ts')).listWebhooks(globals(), collection));
  webhooks
    .command('enable <id>')
    .description('switch a webhook on; what it has not taken is sent again')
    .action(async (id) => (await import('./service.ts')).switchWebhook(globals(), id, true));
  webhooks
    .command('disable <id>')
    .description('switch a webhook off; it misses nothing')
    .action(async (id) => (await import('./service.ts')).switchWebhook(globals(), id, false));
  webhooks
    .command('remove <id>')
    .description('tell an address no more')
    .action(async (id) => (await import('./service.ts')).removeWebhook(globals(), id));
}
