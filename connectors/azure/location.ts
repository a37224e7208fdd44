import { InputError } from '../../src/contract/errors.ts';
import { folderPrefix } from '../../src/contract/object-store.ts';

export interface AzureLocation {
  readonly container: string;
  /** Empty, or ends with a slash: `reports` must not match `reports-old`. */
  readonly prefix: string;
  /** Listed is only what begins with this; `prefix` stands at its beginning. */
  readonly listed: string;
}

const PATH = /^azure:\/\/(\$root|\$web|\$logs|[a-z0-9](?:-?[a-z0-9]){2,62})(?:\/(.*))?$/s;
const MAX_NAME_CHARACTERS = 1024;

/** `azure://container/prefix`, the prefix exactly as it stands in the blobs' names. The account is part of the credential. */
export function parseLocation(path: string, beginning = ''): AzureLocation {
  const found = PATH.exec(path);
  const prefix = found?.[2] ?? '';
  if (!found?.[1] || prefix.length > MAX_NAME_CHARACTERS) {
    throw new InputError(
      'invalid_path',
      'This is no path of a container of Azure Blob Storage.',
      'Use azure://container or azure://container/folder; the account is part of the credential.',
    );
  }
  const folder = folderPrefix(prefix);
  return { container: found[1], prefix: folder, listed: folder + beginning };
}
