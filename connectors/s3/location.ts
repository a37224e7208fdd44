import { InputError } from '../../src/contract/errors.ts';
import { folderPrefix } from '../../src/contract/object-store.ts';

export interface S3Location {
  readonly bucket: string;
  /** Empty, or ends with a slash: `reports` must not match `reports-old`. */
  readonly prefix: string;
  /** Listed is only what begins with this; `prefix` stands at its beginning. */
  readonly listed: string;
}

const PATH = /^s3:\/\/([A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])(?:\/(.*))?$/s;
const MAX_KEY_BYTES = 1024;

/** `s3://bucket/prefix`, the prefix exactly as it stands in the keys. */
export function parseLocation(path: string, beginning = ''): S3Location {
  const found = PATH.exec(path);
  const prefix = found?.[2] ?? '';
  if (!found?.[1] || Buffer.byteLength(prefix) > MAX_KEY_BYTES) {
    throw new InputError('invalid_path', 'This is no path of an S3 bucket.', 'Use s3://bucket or s3://bucket/folder');
  }
  const folder = folderPrefix(prefix);
  return { bucket: found[1], prefix: folder, listed: folder + beginning };
}
