import type { Egress } from '../../contract/connector.ts';
import type { Secret } from '../../contract/secret.ts';
import type { Naming } from '../identifier.ts';

/** Where the secrets of a deployment lie in Vault or OpenBao, and as whom it asks for them. */
export interface VaultSettings extends Naming {
  readonly backend: 'vault';
  /** An origin. */
  readonly address: string;
  readonly namespace: string | null;
  /** Where the KV engine is mounted. */
  readonly mount: string;
  /** The version of the engine. */
  readonly kv: 1 | 2;
  /** Certificates in PEM that are trusted beside the system's own; null: none. */
  readonly ca: { readonly file: string } | { readonly pem: string } | null;
  readonly auth: VaultAuth;
  /** Guards the address where a workspace chose it; null: the deployment did. */
  readonly egress: Egress | null;
}

/** A value that was taken out of the environment, or the file that holds it, which is read at each use. */
export type Held = { readonly value: Secret<string> } | { readonly file: string };

export type VaultAuth =
  | { readonly kind: 'token'; readonly token: Held }
  | { readonly kind: 'approle'; readonly path: string; readonly roleId: string; readonly secretId: Held }
  /**
   * The secret ID of the role that reads (`runner`) is fetched wrapped, for one use, as a worker that may do nothing else.
   * https://developer.hashicorp.com/vault/docs/concepts/response-wrapping
   */
  | {
      readonly kind: 'wrapped';
      readonly path: string;
      readonly roleId: string;
      readonly runner: string;
      readonly worker:
        | { readonly kind: 'token'; readonly token: Held }
        | { readonly kind: 'approle'; readonly path: string; readonly roleId: string; readonly secretId: Held };
    }
  /** A token of Kubernetes or of another issuer, for the methods `kubernetes` and `jwt`. */
  | { readonly kind: 'jwt'; readonly path: string; readonly role: string; readonly jwt: Held };
