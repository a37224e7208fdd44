import { createDefaultHttpClient } from '@azure/core-rest-pipeline';
import { DefaultAzureCredential } from '@azure/identity';
import { SecretClient } from '@azure/keyvault-secrets';
import { AzureLogger } from '@azure/logger';
import { answeredInTime } from '../../contract/azure.ts';
import { type NameRules, nameFor } from '../identifier.ts';
import { type Described, fromLabels } from '../labels.ts';
import type { KeyVaultSettings } from './settings.ts';

// Microsoft's libraries write requests and failures to standard error when their log level says so.
AzureLogger.log = () => undefined;

const OWN_HOSTS = /\.vault\.(azure\.net|usgovcloudapi\.net|azure\.cn)$/;
/** Key Vault ignores case and has neither dots nor underscores. */
const RULES: NameRules = {
  template: '{prefix}-{workspace}-{id}-{hash}',
  refused: /[^A-Za-z0-9-]/g,
  lowerCase: true,
  maxLength: 127,
};

export type Tags = Readonly<Record<string, string>> | undefined;

export function createClient({ url }: KeyVaultSettings): SecretClient {
  const { credential, options } = accessTo(url);
  return new SecretClient(url, credential, options);
}

/** Who asks a vault, and how. */
export function accessTo(url: string) {
  const httpClient = answeredInTime(createDefaultHttpClient());
  return {
    credential: new DefaultAzureCredential({ disableInstanceDiscovery: true, httpClient }),
    options: {
      // A vault of a private link or a stand-in has another host than the one that its tokens are for.
      disableChallengeResourceVerification: !OWN_HOSTS.test(new URL(url).hostname),
      retryOptions: { maxRetries: 1 },
      httpClient,
    },
  };
}

export function nameOf(settings: KeyVaultSettings, workspace: string, id: string): string {
  return nameFor({ ...settings, prefix: settings.prefix.replaceAll('_', '-') }, RULES, workspace, id);
}

/** What the tags say; null: the secret is not one that its name was made for. */
export function describedBy(tags: Tags, workspace: string, id: string): Described | null {
  const described = fromLabels(tags, '-');
  return described?.id === id && described.workspace === workspace ? described : null;
}
