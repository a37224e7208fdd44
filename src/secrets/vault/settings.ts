import type { Secret } from '../../contract/secret.ts';

/** Where the secrets of a deployment lie in Vault or OpenBao (KV version 2), and as whom it asks for them. */
export interface VaultSettings {
  readonly backend: 'vault';
  /** An origin. */
  readonly address: string;
  readonly namespace: string | null;
  /** Where the KV engine is mounted. */
  readonly mount: string;
  /** Of all paths; keeps deployments apart that share an engine. */
  readonly prefix: string;
  /** Certificates in PEM that are trusted beside the system's own; null: none. */
  readonly caFile: string | null;
  readonly auth: VaultAuth;
}

/** A value that was taken out of the environment, or the file that holds it, which is read at each use. */
export type Held = { readonly value: Secret<string> } | { readonly file: string };

export type VaultAuth =
  | { readonly kind: 'token'; readonly token: Held }
  | { readonly kind: 'approle'; readonly path: string; readonly roleId: string; readonly secretId: Held }
  /** A token of Kubernetes or of another issuer, for the methods `kubernetes` and `jwt`. */
  | { readonly kind: 'jwt'; readonly path: string; readonly role: string; readonly jwt: Held };
