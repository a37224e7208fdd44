import type { Naming } from '../identifier.ts';

/** Where the secrets of a deployment lie in Google Secret Manager, and as whom it asks for them. */
export interface GcpSettings extends Naming {
  readonly backend: 'gcp';
  readonly project: string;
  /** Of regional secrets; null: global. */
  readonly location: string | null;
  /** Another origin than Google's. */
  readonly endpoint: string | null;
  /** A service account's key file; null: Application Default Credentials. */
  readonly credentialsFile: string | null;
}
