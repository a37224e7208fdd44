import { join, resolve } from 'node:path';
import { ConfigError } from '../contract/errors.ts';
import type { AwsSettings } from './aws/settings.ts';
import type { KeyVaultSettings } from './azure-key-vault/settings.ts';
import { type EnvSecret, findEnvSecrets } from './env/names.ts';
import { type Environment, managerEndpoint, namingIn, pathIn } from './environment.ts';
import type { GcpSettings } from './gcp/settings.ts';
import type { KubernetesSettings } from './kubernetes/settings.ts';
import type { Backend, ManagerSettings } from './managers.ts';
import { readSecureStore } from './securestore/from-environment.ts';
import { readVault } from './vault/from-environment.ts';

/** The settings of a backend. Throws `ConfigError` that names the variable. */
export function settingsOf(backend: Backend, environment: Environment, dataDir: string): ManagerSettings {
  if (backend === 'gcp') return gcp(environment);
  if (backend === 'aws') return aws(environment);
  if (backend === 'vault') return readVault(environment);
  if (backend === 'azure-key-vault') return keyVault(environment);
  if (backend === 'kubernetes') return kubernetes(environment);
  if (backend === 'securestore') return readSecureStore(environment);
  if (backend === 'env') return { backend, secrets: takeEnvSecrets(environment) };
  return {
    backend,
    folder: resolve(environment.LOCKGATE_FILE_FOLDER || join(dataDir, 'secrets')),
    recipientFile: resolve(environment.LOCKGATE_RECIPIENT_FILE || join(dataDir, 'keys', 'recipient.txt')),
    identityFile: resolve(environment.LOCKGATE_IDENTITY_FILE || join(dataDir, 'keys', 'identity.txt')),
  };
}

function gcp(environment: Environment): GcpSettings {
  const project = environment.LOCKGATE_GCP_PROJECT ?? '';
  if (!/^[a-z0-9][a-z0-9:.-]{3,62}$/.test(project)) {
    throw new ConfigError(
      'LOCKGATE_GCP_PROJECT is not the ID of a project.',
      'Set it to the project that holds the secrets.',
    );
  }
  const location = environment.LOCKGATE_GCP_LOCATION || null;
  if (location && !/^[a-z]+-[a-z]+\d{1,2}$/.test(location)) {
    throw new ConfigError(
      'LOCKGATE_GCP_LOCATION is not a region.',
      'Such as europe-west3; unset it for global secrets.',
    );
  }
  const endpoint = managerEndpoint(environment, 'LOCKGATE_GCP_ENDPOINT');
  const credentialsFile = pathIn(environment, 'LOCKGATE_GCP_CREDENTIALS_FILE');
  return { backend: 'gcp', project, location, ...namingIn(environment), endpoint, credentialsFile };
}

function aws(environment: Environment): AwsSettings {
  const region = environment.LOCKGATE_AWS_REGION || environment.AWS_REGION || '';
  if (!/^[a-z]{2}(-[a-z]+){1,3}-\d{1,2}$/.test(region)) {
    throw new ConfigError(
      'LOCKGATE_AWS_REGION is not a region.',
      'Set it to where the secrets lie, such as eu-west-1.',
    );
  }
  const kmsKeyId = environment.LOCKGATE_AWS_KMS_KEY || null;
  const pairs = (environment.LOCKGATE_AWS_TAGS ?? '')
    .split(',')
    .map((pair) => pair.trim())
    .filter(Boolean);
  const tags = pairs.map((pair) => /^([\w .:/=+@-]{1,128}?)=([\w .:/=+@-]{0,256})$/.exec(pair));
  if (tags.includes(null)) {
    throw new ConfigError(
      'LOCKGATE_AWS_TAGS are no tags.',
      'Separate them with commas, such as team=data,stage=production',
    );
  }
  return {
    backend: 'aws',
    region,
    ...namingIn(environment),
    endpoint: managerEndpoint(environment, 'LOCKGATE_AWS_ENDPOINT'),
    kmsKeyId,
    tags: Object.fromEntries(tags.map((found) => [found?.[1] as string, found?.[2] as string])),
  };
}

function keyVault(environment: Environment): KeyVaultSettings {
  const given = environment.LOCKGATE_AZURE_KEY_VAULT ?? '';
  const url = /^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$/.test(given) ? `https://${given}.vault.azure.net` : given;
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw new ConfigError(
      'LOCKGATE_AZURE_KEY_VAULT is not a vault.',
      'Set it to its name, or to its URL such as https://NAME.vault.azure.net',
    );
  }
  return { backend: 'azure-key-vault', url: new URL(url).origin, ...namingIn(environment) };
}

function kubernetes(environment: Environment): KubernetesSettings {
  const namespace = environment.LOCKGATE_KUBERNETES_NAMESPACE || null;
  if (namespace && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace))
    throw new ConfigError('LOCKGATE_KUBERNETES_NAMESPACE is no name of a namespace.', "Unset it for the pod's own.");
  const kubeconfig = environment.LOCKGATE_KUBERNETES_KUBECONFIG;
  return {
    backend: 'kubernetes',
    namespace,
    kubeconfig: kubeconfig ? resolve(kubeconfig) : null,
    context: environment.LOCKGATE_KUBERNETES_CONTEXT || null,
    ...namingIn(environment),
  };
}

/** What earlier readings took out of an environment, so that reading it again finds the same. */
const taken = new WeakMap<Environment, Map<string, EnvSecret>>();

function takeEnvSecrets(environment: Environment): EnvSecret[] {
  const known = taken.get(environment) ?? new Map<string, EnvSecret>();
  taken.set(environment, known);
  for (const secret of findEnvSecrets(environment)) {
    known.set(secret.id, secret);
    if (secret.value.kind === 'json') delete environment[secret.variable];
  }
  return [...known.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
