import { createDefaultHttpClient } from '@azure/core-rest-pipeline';
import { DefaultAzureCredential, type TokenCredential } from '@azure/identity';
import { SecretClient } from '@azure/keyvault-secrets';
import { AzureLogger } from '@azure/logger';
import { answeredInTime, type Heard, heardInTime, isAway } from '../../contract/azure.ts';
import { type NameRules, nameFor } from '../identifier.ts';
import { type Described, fromLabels } from '../labels.ts';
import { noToken } from './errors.ts';
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
  return {
    credential: credentialOfMachine(),
    options: {
      // A vault of a private link or a stand-in has another host than the one that its tokens are for.
      disableChallengeResourceVerification: !OWN_HOSTS.test(new URL(url).hostname),
      retryOptions: { maxRetries: 1 },
      httpClient: answeredInTime(createDefaultHttpClient()),
    },
  };
}

/** Where machines of Azure ask for their identity. Elsewhere nobody answers, which says only that. */
const METADATA = '169.254.169.254';

/** The library has one error for who is not known and for a service that is away or throttles: what was heard tells them apart. */
function credentialOfMachine(): TokenCredential {
  let last: Heard = null;
  const httpClient = heardInTime(createDefaultHttpClient(), (heard, { hostname }) => {
    if (heard !== null && heard !== 'nothing') last = heard;
    else if (hostname !== METADATA) last = 'nothing';
  });
  const make = () => new DefaultAzureCredential({ disableInstanceDiscovery: true, httpClient });
  let credential = make();
  return {
    getToken: async (scopes, options) => {
      last = null;
      try {
        return await credential.getToken(scopes, options);
      } catch (error) {
        // It would answer with this failure for a minute by itself.
        credential = make();
        throw isAway(last) ? noToken() : error;
      }
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
