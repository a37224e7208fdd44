import type { Clock, Egress } from './contract/connector.ts';
import { type LockgateError, SecretManagerNotConfiguredError } from './contract/errors.ts';
import type { AccessPurpose, AuditLog, SecretDirectory, SecretReader } from './contract/secret-manager.ts';
import { openDirectories } from './directories.ts';
import { withAudit } from './layers/audited.ts';
import { withPatience } from './layers/patient.ts';
import { composedReader } from './secrets/composed-reader.ts';
import { liveValues, watchedReader } from './secrets/live-values.ts';
import { DEFAULT_NAME, type DeclaredManagers, type NamedManager, unknownManager } from './secrets/managers.ts';
import { openDirectory } from './secrets/open-directory.ts';
import { findReaders } from './secrets/reading.ts';
import { openerId, registeredManager } from './secrets/registered.ts';
import { routedReader } from './secrets/routed-reader.ts';

export interface CredentialParts {
  readonly declared: DeclaredManagers;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly egress: Egress;
  /** What a workspace has registered under the name; null: nothing. */
  readonly registered: (name: string, workspace: string) => Promise<object | null>;
  /** Hears when a secret manager has to be asked again. */
  readonly onWait?: (purpose: AccessPurpose, error: LockgateError) => void;
}

export interface Credentials {
  /** Every access is written down first, and asked again while its manager is away; credentials are put together from their parts. */
  readonly reader: SecretReader;
  /** The same, of what is stored: fields that are kept elsewhere are left as they stand. */
  readonly stored: SecretReader;
  /** The half of a manager that adds and lists, on behalf of somebody. */
  directory(manager: string, workspace: string, actor: string): SecretDirectory;
}

/** Puts the secret managers of a deployment and of its workspaces together. */
export function openCredentials(parts: CredentialParts): Credentials {
  const { declared, audit, clock, egress, onWait } = parts;
  const known = new Map<
    string,
    { readonly settings: string; readonly version: string; readonly manager: NamedManager }
  >();

  /** A new opener or new settings make a new manager; otherwise its login lives on. */
  const registered = async (name: string, workspace: string): Promise<NamedManager | null> => {
    const settings = await parts.registered(name, workspace);
    if (!settings) return null;
    const ref = { manager: declared.default ?? DEFAULT_NAME, workspace, secretId: openerId(name) };
    const opener = await openers.access(ref, { actor: 'lockgate', reason: `open ${name}` });
    const text = JSON.stringify(settings);
    const there = known.get(`${workspace} ${name}`);
    if (there && there.settings === text && there.version === opener.ref.version) return there.manager;
    const manager = registeredManager(name, settings, opener, egress);
    known.set(`${workspace} ${name}`, { settings: text, version: opener.ref.version, manager });
    return manager;
  };
  const layered = (reader: SecretReader) =>
    watchedReader(withAudit(withPatience(reader, clock, onWait), audit), liveValues);
  const openers = layered(routedReader(findReaders(declared, async () => null)));
  const stored = layered(routedReader(findReaders(declared, registered)));

  const { directory } = openDirectories({
    declared,
    audit,
    now: clock.now,
    registered: async (name, workspace) => {
      const found = await registered(name, workspace);
      if (!found) throw unknownManager(name);
      return openDirectory(found.settings, workspace, clock.now);
    },
  });
  return {
    reader: declared.default ? composedReader(stored) : unconfigured,
    stored: declared.default ? stored : unconfigured,
    directory,
  };
}

const unconfigured: SecretReader = {
  access: async () => {
    throw new SecretManagerNotConfiguredError();
  },
};
