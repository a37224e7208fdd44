import { readFile } from 'node:fs/promises';
import { SecretManagerServiceClient } from '@google-cloud/secret-manager';
import { OAuth2Client } from 'google-auth-library';
import { ConfigError, SecretManagerUnavailableError } from '../../contract/errors.ts';
import { ASSERTION_SECONDS, assertionForm, type ServiceAccountKey, signAssertion } from '../../contract/google.ts';
import { type NameRules, nameFor } from '../identifier.ts';
import { type Described, fromLabels } from '../labels.ts';
import { toManagerError } from './errors.ts';
import type { GcpSettings } from './settings.ts';

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
/** How long one request may take with its repetitions, in milliseconds. */
export const CALL = { timeout: 30_000 };
/** The same for a listing; the library warns where it would have gathered the pages itself. */
export const LISTING = { ...CALL, autoPaginate: false };
const TOKEN_TIMEOUT_MS = 20_000;

/** https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/create */
const RULES: NameRules = { template: '{prefix}-{workspace}-{id}-{hash}', refused: /[^A-Za-z0-9_-]/g, maxLength: 255 };

/** A secret as Google gives it: labels can be filtered by, annotations take any character. */
export interface GcpSecret {
  readonly name?: string | null;
  readonly labels?: Record<string, string> | null;
  readonly annotations?: Record<string, string> | null;
}

export const LABEL_TYPE = 'lockgate-type';
export const LABEL_WORKSPACE = 'lockgate-workspace';

export interface GcpClient {
  readonly sdk: SecretManagerServiceClient;
  /** Has a token. To be awaited before a call, for the SDK makes "unavailable" of whatever goes wrong with one. */
  ready(): Promise<void>;
}

export function createClient(settings: GcpSettings): GcpClient {
  const { project, location, endpoint, credentialsFile } = settings;
  const url = endpoint ? new URL(endpoint) : null;
  const host = url?.hostname ?? (location ? `secretmanager.${location}.rep.googleapis.com` : undefined);
  const authClient = credentialsFile ? keyFileClient(credentialsFile) : null;
  const sdk = new SecretManagerServiceClient({
    projectId: project,
    // Requests over HTTP/1: no channel to keep open for a handful of calls.
    fallback: true,
    ...(host ? { apiEndpoint: host } : {}),
    ...(url
      ? { protocol: url.protocol.slice(0, -1), port: Number(url.port) || (url.protocol === 'http:' ? 80 : 443) }
      : {}),
    ...(authClient ? { authClient: authClient as never } : {}),
  });
  return { sdk, ready: async () => void (await authClient?.getAccessToken()) };
}

export function parentOf({ project, location }: GcpSettings): string {
  return location ? `projects/${project}/locations/${location}` : `projects/${project}`;
}

export function nameOf(settings: GcpSettings, workspace: string, id: string): string {
  return `${parentOf(settings)}/secrets/${secretIdOf(settings, workspace, id)}`;
}

export function secretIdOf(settings: GcpSettings, workspace: string, id: string): string {
  return nameFor(settings, RULES, workspace, id);
}

/** What a secret says of itself: names can be guessed, what they were made of cannot be moved. Null: it is not ours. */
export function describedBy({ labels, annotations }: GcpSecret): Described | null {
  return fromLabels({ ...annotations, ...labels }, '-');
}

/** The library's own client for key files ignores token_uri. The file is read anew for each token, so it may be replaced. */
function keyFileClient(path: string): OAuth2Client {
  const client = new OAuth2Client();
  client.refreshHandler = async () => {
    const key = await readKey(path);
    const now = Date.now();
    const response = await fetch(key.token_uri, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: assertionForm(signAssertion(key, SCOPE, Math.floor(now / 1000))),
      redirect: 'error',
      signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS),
    }).catch(() => {
      throw new SecretManagerUnavailableError(
        'secret_manager_unavailable',
        "Google's token endpoint did not answer.",
        'Check the network and token_uri in LOCKGATE_GCP_CREDENTIALS_FILE.',
      );
    });
    const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    if (!response.ok || typeof answer.access_token !== 'string')
      throw toManagerError({ code: response.status >= 500 ? 14 : 16 });
    return {
      access_token: answer.access_token,
      expiry_date: now + (Number(answer.expires_in) || ASSERTION_SECONDS) * 1000,
    };
  };
  return client;
}

async function readKey(path: string): Promise<ServiceAccountKey> {
  try {
    const key = JSON.parse(await readFile(path, 'utf8')) as ServiceAccountKey;
    if (typeof key.private_key === 'string' && typeof key.client_email === 'string' && URL.canParse(key.token_uri))
      return key;
  } catch {
    // Falls through: the parser's own message quotes the text.
  }
  throw new ConfigError(
    'LOCKGATE_GCP_CREDENTIALS_FILE is not the key file of a service account.',
    'Check the path and its mode.',
  );
}
