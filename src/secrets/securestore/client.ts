import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { Agent, request } from 'undici';
import {
  ConfigError,
  CredentialNotFoundError,
  CredentialUnusableError,
  SecretAccessDeniedError,
  SecretManagerError,
  SecretManagerUnavailableError,
} from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecureStoreClientSettings } from './settings.ts';

const TIMEOUT_MS = 20_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

export interface StoreAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface SecureStoreClient {
  /** The answer, where it is one of success. Throws our own error for any other; `id` is the secret that it is about. */
  ask(method: 'GET' | 'POST' | 'DELETE', path: string, id: string, body?: object, key?: string): Promise<StoreAnswer>;
}

const clients = new WeakMap<SecureStoreClientSettings, SecureStoreClient>();

/** The one client of this process for these settings. */
export function secureStoreClient(settings: SecureStoreClientSettings): SecureStoreClient {
  const client = clients.get(settings) ?? open(settings);
  clients.set(settings, client);
  return client;
}

function open(settings: SecureStoreClientSettings): SecureStoreClient {
  let agent: Promise<Agent> | undefined;
  return {
    ask: async (method, path, id, body, key) => {
      agent ??= agentFor(settings);
      const token = settings.token ? await tokenIn(settings.token) : null;
      const headers = {
        ...(token ? { authorization: `Bearer ${token.reveal()}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      };
      const opened = await agent.catch((error) => {
        agent = undefined;
        throw error;
      });
      const answer = await send(opened, `${settings.url}${path}`, method, headers, body);
      if (answer.status >= 200 && answer.status < 300) return answer;
      throw errorFor(answer, id);
    },
  };
}

async function send(
  dispatcher: Agent,
  url: string,
  method: 'GET' | 'POST' | 'DELETE',
  headers: Record<string, string>,
  body: object | undefined,
): Promise<StoreAnswer> {
  try {
    const answer = await request(url, {
      dispatcher,
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // For all of it, also when it comes drop by drop.
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error('too long');
    }
    const text = Buffer.concat(chunks).toString('utf8');
    return { status: answer.statusCode, body: text === '' ? {} : JSON.parse(text) };
  } catch {
    throw unavailable();
  }
}

async function agentFor({ caFile, certificate }: SecureStoreClientSettings): Promise<Agent> {
  const read = (file: string) =>
    readFile(file, 'utf8').catch(() => {
      throw new ConfigError(`${file}, which the settings of SecureStore name, cannot be read.`, 'Check the mount.');
    });
  const connect = {
    timeout: TIMEOUT_MS,
    ...(caFile ? { ca: [...rootCertificates, await read(caFile)] } : {}),
    ...(certificate ? { cert: await read(certificate.certFile), key: await read(certificate.keyFile) } : {}),
  };
  return new Agent({ allowH2: true, connect });
}

async function tokenIn(held: NonNullable<SecureStoreClientSettings['token']>): Promise<Secret<string>> {
  if ('value' in held) return held.value;
  try {
    return new Secret((await readFile(held.file, 'utf8')).trim());
  } catch {
    throw new ConfigError(`${held.file}, which should hold a token of SecureStore, cannot be read.`);
  }
}

function unavailable(): SecretManagerUnavailableError {
  return new SecretManagerUnavailableError(
    'secret_manager_unavailable',
    'SecureStore did not answer as it should.',
    'Check LOCKGATE_SECURESTORE_URL, its certificate, and that the server is up.',
  );
}

function errorFor({ status, body }: StoreAnswer, id: string): SecretManagerError {
  const { code } = (body.error ?? {}) as { code?: unknown };
  if (code === 'secret_not_found') return new CredentialNotFoundError(id);
  if (code === 'version_disabled')
    return new CredentialUnusableError('credential_disabled', `The version of "${id}" is disabled in SecureStore.`);
  if (code === 'version_destroyed')
    return new CredentialUnusableError('credential_deleted', `The version of "${id}" is destroyed in SecureStore.`);
  if (code === 'value_tampered')
    return new CredentialUnusableError('credential_tampered', `"${id}" is not what was stored in SecureStore.`);
  if (code === 'type_differs') {
    return new SecretManagerError(
      'credential_wrong_type',
      `"${id}" is a credential of another type, so this version would break its sources.`,
      'Choose another ID, or remove the old one first.',
    );
  }
  if (code === 'secret_deleted') {
    return new SecretManagerError(
      'credential_deleted',
      `"${id}" is deleted in SecureStore, and its time of grace is not over.`,
      'Undelete it there, or choose another ID.',
    );
  }
  // A refusal without a code of ours is somebody else's, between here and there.
  if (typeof code === 'string' && (status === 401 || status === 403)) {
    return new SecretAccessDeniedError(
      status === 401 ? 'SecureStore does not know who asks.' : 'The policy of SecureStore does not permit this.',
      'Check the token or certificate, the policy, and the allow-list of service accounts: lockgate securestore policy test',
    );
  }
  if (status === 429) {
    return new SecretManagerUnavailableError(
      'secret_manager_throttled',
      'SecureStore asks for fewer requests.',
      'It is tried again.',
    );
  }
  if (code === 'store_sealed') {
    return new SecretManagerUnavailableError(
      'secret_manager_unavailable',
      'SecureStore is sealed.',
      'It waits for its key: look at its /readyz.',
    );
  }
  if (typeof code === 'string' && status === 413)
    return new SecretManagerError('credential_too_large', 'The credential is too large for SecureStore.');
  return unavailable();
}
