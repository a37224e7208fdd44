import { InputError } from '../../src/contract/errors.ts';
import { folderPrefix } from '../../src/contract/object-store.ts';

export interface GcsLocation {
  readonly bucket: string;
  /** Empty, or ends with a slash: `reports` must not match `reports-old`. */
  readonly prefix: string;
  /** Listed is only what begins with this; `prefix` stands at its beginning. */
  readonly listed: string;
}

const PATH = /^gs:\/\/([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:\/(.*))?$/s;
const MAX_NAME_BYTES = 1024;

/** `gs://bucket/prefix`, the prefix exactly as it stands in the objects' names. */
export function parseLocation(path: string, beginning = ''): GcsLocation {
  const found = PATH.exec(path);
  const prefix = found?.[2] ?? '';
  if (!found?.[1] || Buffer.byteLength(prefix) > MAX_NAME_BYTES) {
    throw new InputError('invalid_path', 'This is no path of a GCS bucket.', 'Use gs://bucket or gs://bucket/folder');
  }
  const folder = folderPrefix(prefix);
  return { bucket: found[1], prefix: folder, listed: folder + beginning };
}
