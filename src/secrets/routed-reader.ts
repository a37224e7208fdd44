import { CredentialNotFoundError, SecretAccessDeniedError } from '../contract/errors.ts';
import type { SecretReader, SecretRef } from '../contract/secret-manager.ts';
import { SECRET_ID } from './identifier.ts';
import { type NamedManager, permitsForeign, unknownManager } from './managers.ts';

/** The manager of that name that a workspace may use, opened; null: there is none. */
export type FindReader = (
  name: string,
  workspace: string,
) => Promise<{ readonly manager: NamedManager; readonly reader: SecretReader } | null>;

/**
 * Asks the secret manager that a reference names. What is not there as an ID of ours is taken as the name of a secret that
 * another tool made, where the manager permits that.
 */
export function routedReader(find: FindReader): SecretReader {
  return {
    access: async (ref, purpose) => {
      const found = await find(ref.manager, ref.workspace);
      if (!found) throw unknownManager(ref.manager);
      const { manager, reader } = found;
      const foreign = permitsForeign(manager, ref.secretId);
      if (SECRET_ID.test(ref.secretId) && !ref.foreign) {
        try {
          return await reader.access(ref, purpose);
        } catch (error) {
          if (!(error instanceof CredentialNotFoundError) || !foreign) throw error;
        }
      }
      if (!foreign) throw notPermitted(ref);
      return reader.access({ ...ref, foreign: true }, purpose);
    },
  };
}

function notPermitted({ manager, secretId }: SecretRef): SecretAccessDeniedError {
  return new SecretAccessDeniedError(
    `"${secretId}" is no credential ID, and secrets of other tools under that name may not be used from "${manager}".`,
    "Let the deployment permit it in the manager's settings, such as paths: [team/]",
  );
}
