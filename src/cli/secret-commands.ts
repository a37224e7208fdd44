import { type Command, Option } from 'commander';
import { collect, globalsOf } from './globals.ts';

/** The commands below `secrets` that are about secret managers as a whole. */
export function addManagerCommands(secrets: Command): void {
  const globals = () => globalsOf(secrets);
  const manager = () => new Option('--manager <name>', 'the secret manager; absent: the default one');
  secrets
    .command('managers')
    .description('list the secret managers that this workspace can use')
    .action(async () => (await import('./secret-managers.ts')).managers(globals()));
  secrets
    .command('register <name>')
    .description("bring the workspace's own Vault along; its token is asked for, or comes from standard input")
    .option('--url <url>', 'its address, such as https://vault.internal:8200; absent: it is asked for')
    .option('--namespace <namespace>', 'where there are namespaces')
    .option('--mount <path>', 'where the KV engine is mounted (secret)')
    .addOption(new Option('--kv <version>', 'the version of the engine').choices(['1', '2']))
    .option('--ca-file <path>', 'the certificate to trust, of a Vault with one of its own')
    .addOption(new Option('--auth <method>', 'how to log in').choices(['token', 'approle']))
    .option('--auth-path <path>', 'where AppRole is mounted (approle)')
    .option('--role-id <id>', 'the role, for approle; its secret ID is asked for')
    .option('--prefix <prefix>', "what Lockgate's own paths begin with (lockgate)")
    .addHelpText('after', '\nExample:\n  lockgate secrets register my-vault --url https://vault.internal:8200')
    .action(async (name, options) => (await import('./secret-managers.ts')).register(globals(), name, options));
  secrets
    .command('unregister <name>')
    .description('forget a secret manager that was registered; its secrets stay where they are')
    .action(async (name) => (await import('./secret-managers.ts')).unregister(globals(), name));
  secrets
    .command('migrate')
    .description('copy secrets to another secret manager, read them back, and switch the sources over')
    .requiredOption('--from <name>', 'the secret manager where they are')
    .requiredOption('--to <name>', 'the secret manager where they go')
    .option('--secret <id>', 'only this one; may be repeated', collect, [])
    .option('--dry-run', 'only say what would be done')
    .addHelpText(
      'after',
      '\nWhat is in the first manager is never touched. Run it again to go on after it was cut off.',
    )
    .action(async (options) => (await import('./secret-managers.ts')).migrate(globals(), options));
  secrets
    .command('keys')
    .description('make the key pair of the file secret manager where there is none, and say where it is')
    .option('--manager <name>', 'another secret manager than the default one')
    .action(async (options) => (await import('./secret-keys.ts')).makeKeys(globals(), options));
  secrets
    .command('rekey')
    .description('make a new identity for the file secret manager and seal everything to it')
    .addOption(manager())
    .addHelpText('after', '\nEverything can be opened meanwhile. Run it again to go on after it was cut off.')
    .action(async (options) => (await import('./secret-keys.ts')).rekey(globals(), options));
  secrets
    .command('export')
    .description('write every secret with all its versions to one file that only an age identity opens')
    .requiredOption('--recipient <recipient>', 'the age recipient (age1 and so on) that it is sealed to')
    .option('--output <path>', 'write to this file')
    .addOption(manager())
    .action(async (options) => (await import('./secret-keys.ts')).exportAll(globals(), options));
  secrets
    .command('import')
    .description('add the secrets of an export; those that are there already are left alone')
    .requiredOption('--identity-file <path>', 'the age identity that opens it')
    .option('--file <path>', 'the export; absent: standard input')
    .addOption(manager())
    .action(async (options) => (await import('./secret-keys.ts')).importAll(globals(), options));
}
