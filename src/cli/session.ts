import type { LockgateClient } from '../client/client.ts';
import { type Config, readConfig, readRemote } from '../config.ts';
import { PERMISSIONS } from '../contract/api/endpoint.ts';
import type { Answer, Given, OperationName } from '../contract/api/index.ts';
import { LockgateError } from '../contract/errors.ts';
import type { Foundation } from '../foundation.ts';
import type { App } from '../main.ts';
import { withoutValues } from '../secrets/managers.ts';
import type { Caller } from '../service/parts.ts';

export type Call = <K extends OperationName>(name: K, given: Given<K>) => Promise<Answer<K>>;

/** Where a command does its work: in this process, or in the service that `LOCKGATE_URL` names. */
export type Session =
  | { readonly call: Call; readonly app: App; readonly remote: null }
  | { readonly call: Call; readonly app: null; readonly remote: LockgateClient };

interface Opening {
  readonly logLevel?: NonNullable<Config['logLevel']>;
  /** Whether it is sure to be needed: then it is opened while the rest is loaded. */
  readonly opensDatabase?: boolean;
}

/** Opens the app for one command, and closes it whatever happens. */
export async function withApp<T>(
  work: (app: App) => Promise<T>,
  { logLevel = 'silent', opensDatabase = false }: Opening = {},
): Promise<T> {
  if (readRemote()) {
    throw new LockgateError(
      'not_remote',
      'This works where Lockgate itself runs, and LOCKGATE_URL names another machine.',
      'Unset LOCKGATE_URL there.',
    );
  }
  const { openFoundation } = await import('../foundation.ts');
  await using foundation = openFoundation(readConfig(), logLevel);
  if (opensDatabase) foundation.database().catch(() => undefined);
  const { openApp } = await import('../main.ts');
  return await work(openApp(foundation));
}

/** For roles that hold no secret of a source. */
export async function withFoundation<T>(work: (foundation: Foundation) => Promise<T>): Promise<T> {
  const { openFoundation } = await import('../foundation.ts');
  const config = readConfig();
  // The database's own login may be one of them.
  const secretManagers = config.databaseSecret ? config.secretManagers : withoutValues(config.secretManagers);
  await using foundation = openFoundation({ ...config, secretManagers }, 'info');
  return await work(foundation);
}

/** The same for what the service can do as well: then the service does it, and what is printed is the same. */
export async function withSession<T>(
  work: (session: Session) => Promise<T>,
  opening: Opening = { opensDatabase: true },
): Promise<T> {
  const settings = readRemote();
  if (settings) {
    const { createLockgateClient } = await import('../client/client.ts');
    const remote = createLockgateClient(settings);
    return work({ call: remote.call, app: null, remote });
  }
  const here = async (app: App) => {
    const { actor, config } = app;
    const caller: Caller = {
      actor,
      workspace: config.workspace,
      permissions: new Set(PERMISSIONS),
      everywhere: true,
      workspaces: null,
    };
    let opened: ReturnType<App['perform']> | undefined;
    // As it would come over the wire.
    const call = async <K extends OperationName>(name: K, given: Given<K>) => {
      opened ??= app.perform();
      return JSON.parse(JSON.stringify(await (await opened)(caller, name, given))) as Answer<K>;
    };
    return work({ call, app, remote: null });
  };
  return withApp(here, opening);
}
