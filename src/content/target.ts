/** A bucket or a container of the deployment's own. */
export interface BucketTarget {
  readonly kind: 's3' | 'gcs' | 'azure';
  readonly bucket: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  /** Another origin than the cloud's own. */
  readonly endpoint: string | null;
  readonly region: string | null;
  /** Of Azure. */
  readonly account: string | null;
  /** Of the deployment's own credential, for Azure and Google; null: the identity of the machine. */
  readonly credentialFile: string | null;
}

export type ContentTarget = { readonly kind: 'directory'; readonly folder: string } | BucketTarget;
