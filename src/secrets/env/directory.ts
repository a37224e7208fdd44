import { CredentialNotFoundError, SecretManagerError } from '../../contract/errors.ts';
import type { SecretDirectory, SecretInfo } from '../../contract/secret-manager.ts';
import type { EnvSecret } from './names.ts';

/** The listing half of the `env` secret manager. Read-only, and of one version: the one that the process started with. */
export function openEnvDirectory(secrets: readonly EnvSecret[]): SecretDirectory {
  const refuse = async (): Promise<never> => {
    throw new SecretManagerError(
      'secret_manager_read_only',
      'The env secret manager is read-only.',
      'Set LOCKGATE_SECRET_<ID> and LOCKGATE_SECRET_<ID>_TYPE where the workers are started, and restart them.',
    );
  };
  return {
    list: async function* (filter) {
      for (const secret of secrets) {
        const info = infoOf(secret);
        if (info && (!filter?.connectorType || filter.connectorType === info.connectorType)) yield info;
      }
    },
    describe: async (id) => {
      const secret = secrets.find((each) => each.id === id);
      const info = secret && infoOf(secret);
      if (info) return info;
      throw new CredentialNotFoundError(
        id,
        secret ? `Set ${secret.variable.replace(/_FILE$/, '')}_TYPE to its connector type.` : variableHint(id),
      );
    },
    put: refuse,
    remove: refuse,
  };
}

export function variableHint(id: string): string {
  const variable = `LOCKGATE_SECRET_${id.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;
  return `Set ${variable} (JSON) or ${variable}_FILE, with ${variable}_TYPE; IDs are in lower case with hyphens.`;
}

function infoOf(secret: EnvSecret): SecretInfo | null {
  if (!secret.connectorType) return null;
  return {
    id: secret.id,
    connectorType: secret.connectorType,
    versions: [{ version: '1', createdAt: null }],
    expiresAt: null,
    scope: secret.scope,
  };
}
