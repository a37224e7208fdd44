import { SecretManagerServiceClient } from '@google-cloud/secret-manager';
import { keyFileClient } from '../../google/key-file.ts';
import { type NameRules, nameFor } from '../identifier.ts';
import { type Described, fromLabels } from '../labels.ts';
import { toManagerError } from './errors.ts';
import type { GcpSettings } from './settings.ts';

/** How long one request may take with its repetitions, in milliseconds. */
export const CALL = { timeout: 30_000 };
/** The same for a listing; the library warns where it would have gathered the pages itself. */
export const LISTING = { ...CALL, autoPaginate: false };

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
  const authClient = credentialsFile ? keyFileClient(credentialsFile, 'LOCKGATE_GCP_CREDENTIALS_FILE') : null;
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
  return {
    sdk,
    ready: async () => {
      await authClient?.getAccessToken().catch((error) => {
        throw toManagerError(error);
      });
    },
  };
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
