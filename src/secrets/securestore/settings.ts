import type { Held } from '../vault/settings.ts';

/** Where the SecureStore of a deployment is, and as whom it is asked. */
export interface SecureStoreClientSettings {
  readonly backend: 'securestore';
  /** An origin. */
  readonly url: string;
  /** A file with certificates in PEM that are trusted beside the system's own; null: none. */
  readonly caFile: string | null;
  /** Null: the certificate says who asks. */
  readonly token: Held | null;
  /** Files in PEM; null: no certificate is shown. */
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | null;
}
