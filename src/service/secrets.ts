import { checkCredential, credentialSchema } from '../../connectors/index.ts';
import { listSources } from '../collections/sources.ts';
import { CONNECTOR_TYPES, type ConnectorType } from '../contract/connector.ts';
import { LockgateError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import type { SecretDirectory, SecretInfo, SecretMetadata } from '../contract/secret-manager.ts';
import { defaultOf, namesOf } from '../secrets/managers.ts';
import { hasReferences } from '../secrets/reference.ts';
import type { Caller, ServiceParts, Some } from './parts.ts';
import { isTrial } from './trials.ts';

export function secretOperations(
  parts: ServiceParts,
): Some<'connectors.list' | 'secrets.list' | 'secrets.put' | 'secrets.describe' | 'secrets.remove'> {
  const { db, declared } = parts;
  const directory = (caller: Caller, manager: string = defaultOf(declared)) =>
    parts.directory(manager, caller.workspace, caller.actor);
  const usersOf = async ({ workspace }: Caller, id: string, manager: string = defaultOf(declared)) => {
    const names = namesOf(declared, manager);
    return (await listSources(db, workspace))
      .filter((source) => source.credentialId === id && names.includes(source.credentialManager))
      .map((source) => ({ id: source.id, collection: source.collection, path: source.path }));
  };
  return {
    'connectors.list': async () => ({
      items: await Promise.all(
        CONNECTOR_TYPES.map(async (type) => ({
          type,
          credential: (await credentialSchema(type)) as Record<string, unknown>,
        })),
      ),
    }),
    'secrets.list': async (caller, { type, manager }) => ({
      items: (
        await Array.fromAsync(directory(caller, manager).list(type ? { connectorType: type } : undefined))
      ).filter(({ id }) => !isTrial(id)),
    }),
    'secrets.put': async (caller, { id, type, credential, manager, scope, expiresAt }) => {
      const metadata = { ...(scope ? { scope: withoutAbsent(scope) } : {}), ...(expiresAt ? { expiresAt } : {}) };
      return putCredential(directory(caller, manager), id, type, new Secret<unknown>(credential), metadata);
    },
    'secrets.describe': async (caller, { id, manager }) => ({
      ...(await directory(caller, manager).describe(id)),
      sources: await usersOf(caller, id, manager),
    }),
    'secrets.remove': async (caller, { id, manager, force }) => {
      const sources = await usersOf(caller, id, manager);
      if (sources.length > 0 && !force) {
        throw new LockgateError(
          'credential_in_use',
          `"${id}" is used by ${sources.length === 1 ? '1 source' : `${sources.length} sources`}: ${sources.map(({ path }) => path).join(', ')}.`,
          'Remove the sources first, or add --force (force=true) to remove it all the same; they fail from then on.',
        );
      }
      await directory(caller, manager).remove(id);
      return { removed: id };
    },
  };
}

/** Stores a credential that has the form of its type. Throws `InputError` that names the fields. */
export async function putCredential(
  directory: SecretDirectory,
  id: string,
  type: ConnectorType,
  credential: Secret<unknown>,
  metadata: SecretMetadata,
): Promise<SecretInfo> {
  // One that is put together from elsewhere is whole only when it is used.
  const expiry = hasReferences(credential) ? null : await checkCredential(type, credential);
  const expiresAt = metadata.expiresAt ?? expiry?.toISOString();
  return directory.put(id, type, credential, { ...metadata, ...(expiresAt ? { expiresAt } : {}) });
}

function withoutAbsent({ collections, paths }: { collections?: string[] | undefined; paths?: string[] | undefined }) {
  return { ...(collections ? { collections } : {}), ...(paths ? { paths } : {}) };
}
