import { InputError } from '../../src/contract/errors.ts';
import { folderPrefix } from '../../src/contract/object-store.ts';

export interface S3Location {
  /** A bucket's name, or the ARN of an access point. */
  readonly bucket: string;
  /** Empty, or ends with a slash: `reports` must not match `reports-old`. */
  readonly prefix: string;
  /** Listed is only what begins with this; `prefix` stands at its beginning. */
  readonly listed: string;
}

const BUCKET = /^s3:\/\/([A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])(?:\/(.*))?$/s;
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html */
const ACCESS_POINT =
  /^s3:\/\/(arn:aws[a-z-]*:s3:[a-z0-9-]+:\d{12}:accesspoint\/[a-z0-9][a-z0-9-]{1,48}[a-z0-9])(?:\/(.*))?$/s;
const MAX_KEY_BYTES = 1024;

/** `s3://bucket/prefix`, the prefix exactly as it stands in the keys; or the ARN of an access point in the bucket's place. */
export function parseLocation(path: string, beginning = ''): S3Location {
  const found = ACCESS_POINT.exec(path) ?? BUCKET.exec(path);
  const prefix = found?.[2] ?? '';
  if (!found?.[1] || Buffer.byteLength(prefix) > MAX_KEY_BYTES) {
    throw new InputError(
      'invalid_path',
      'This is no path of an S3 bucket.',
      'Use s3://bucket or s3://bucket/folder; the ARN of an access point may stand in the place of the bucket.',
    );
  }
  const folder = folderPrefix(prefix);
  return { bucket: found[1], prefix: folder, listed: folder + beginning };
}
