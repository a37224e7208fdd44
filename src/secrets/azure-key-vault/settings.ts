import type { Naming } from '../identifier.ts';

/** Where the secrets of a deployment lie in Azure Key Vault. Who asks is the default chain of `@azure/identity`. */
export interface KeyVaultSettings extends Naming {
  readonly backend: 'azure-key-vault';
  /** An origin, such as `https://NAME.vault.azure.net`. */
  readonly url: string;
}
