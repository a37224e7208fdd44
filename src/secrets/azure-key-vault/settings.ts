/** Where the secrets of a deployment lie in Azure Key Vault. Who asks is the default chain of `@azure/identity`. */
export interface KeyVaultSettings {
  readonly backend: 'azure-key-vault';
  /** An origin, such as `https://NAME.vault.azure.net`. */
  readonly url: string;
  /** Of all names; keeps deployments apart that share a vault. */
  readonly prefix: string;
}
