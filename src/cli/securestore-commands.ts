import type { Command } from 'commander';
import { BEHIND, collect, globalsOf } from './globals.ts';

/** The secret server, which is a program apart: its own database, its own keys. */
export function addSecureStoreCommands(program: Command): void {
  const globals = () => globalsOf(program);
  const load = () => import('./securestore.ts');
  const store = program
    .command('securestore')
    .description('a secret server of your own; without a word behind it, serves')
    .action(async () => (await load()).serve());
  store
    .command('init')
    .description('make the key, the policy and the first token')
    .action(async () => (await load()).init(globals()));
  store
    .command('token <name>')
    .description('make a token, which the policy knows as token:<name>')
    .option('--expires-in-days <days>', 'how long it is valid', Number, 90)
    .action(async (name, options) => (await load()).createToken(globals(), name, options));
  const policy = store.command('policy').description('who may do what');
  policy
    .command('test')
    .description('may somebody do something, and by which rule')
    .requiredOption('--who <name>', 'such as token:worker or serviceaccount:namespace/name')
    .option('--group <name>', 'a group that they are in, such as group:corp/data; may be repeated', collect, [])
    .requiredOption('--may <what>', 'such as list, add or reveal')
    .requiredOption('--on <resource>', 'such as workspaces/default/secrets/my-creds')
    .action(async (options) => (await load()).testPolicy(globals(), options));
  store
    .command('rotate')
    .description('wrap all keys by the active key, without touching values')
    .option('--all', 'also those that it has wrapped: by the newest version of a key that a cloud keeps')
    .action(async (options) => (await load()).rotate(globals(), options));
  store
    .command('backup')
    .description('everything, still sealed, to standard output')
    .action(async () => (await load()).backup());
  store
    .command('restore <file>')
    .description('a backup, into a store that has nothing yet')
    .action(async (file) => (await load()).restore(globals(), file));
  const audit = store.command('audit').description('what was done, by whom');
  audit
    .command('verify')
    .description('check the chain and the signed heads')
    .option('--behind <head>', BEHIND)
    .action(async (options) => (await load()).verifyAudit(globals(), options));
  audit
    .command('export')
    .description('the log as JSON lines')
    .action(async () => (await load()).exportAudit());
}
