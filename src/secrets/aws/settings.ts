import type { Naming } from '../identifier.ts';

/** Where the secrets of a deployment lie in AWS Secrets Manager. Who asks is the SDK's default provider chain. */
export interface AwsSettings extends Naming {
  readonly backend: 'aws';
  readonly region: string;
  /** Another origin than Amazon's. */
  readonly endpoint: string | null;
  /** Encrypts new secrets; null: the account's own key for Secrets Manager. */
  readonly kmsKeyId: string | null;
  /** Put on new secrets beside Lockgate's own tags. */
  readonly tags: Readonly<Record<string, string>>;
}
