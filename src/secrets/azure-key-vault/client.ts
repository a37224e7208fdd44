import { createHash } from 'node:crypto';
import { DefaultAzureCredential } from '@azure/identity';
import { SecretClient } from '@azure/keyvault-secrets';
import { AzureLogger } from '@azure/logger';
import { CONNECTOR_TYPES, type ConnectorType } from '../../contract/connector.ts';
import type { KeyVaultSettings } from './settings.ts';

// Microsoft's libraries write requests and failures to standard error when their log level says so.
AzureLogger.log = () => undefined;

const OWN_HOSTS = /\.vault\.(azure\.net|usgovcloudapi\.net|azure\.cn)$/;
const SLUG_CHARACTERS = 60;

export const TAG_ID = 'lockgate-id';
export const TAG_TYPE = 'lockgate-type';
export const TAG_WORKSPACE = 'lockgate-workspace';

export type Tags = Readonly<Record<string, string>> | undefined;

export function createClient({ url }: KeyVaultSettings): SecretClient {
  return new SecretClient(url, new DefaultAzureCredential({ disableInstanceDiscovery: true }), {
    // A vault of a private link or a stand-in has another host than the one that its tokens are for.
    disableChallengeResourceVerification: !OWN_HOSTS.test(new URL(url).hostname),
    retryOptions: { maxRetries: 1 },
  });
}

/** Key Vault ignores case and has neither dots nor underscores: readable, and injective by part of a hash of the exact tuple. */
export function nameOf({ prefix }: KeyVaultSettings, workspace: string, id: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([workspace, id]))
    .digest('hex')
    .slice(0, 16);
  const slug = `${workspace}-${id}`
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .slice(0, SLUG_CHARACTERS);
  return `${prefix.replaceAll('_', '-')}-${slug}-${hash}`;
}

/** The type of a secret that is the one that its name was made for; null of any other. */
export function typeOf(tags: Tags, workspace: string, id: string): ConnectorType | null {
  if (tags?.[TAG_ID] !== id || tags[TAG_WORKSPACE] !== workspace) return null;
  return CONNECTOR_TYPES.find((type) => type === tags[TAG_TYPE]) ?? null;
}
