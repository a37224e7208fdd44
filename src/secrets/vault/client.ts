import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { rootCertificates } from 'node:tls';
import { ConfigError, SecretAccessDeniedError, SecretManagerUnavailableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { Held, VaultSettings } from './settings.ts';

const TIMEOUT_MS = 20_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** A token is renewed when this much of its life has passed. */
const RENEW_AT = 2 / 3;

export interface VaultAnswer {
  readonly status: number;
  readonly body: { readonly data?: unknown; readonly errors?: readonly unknown[]; readonly auth?: unknown };
}

interface Login {
  readonly token: Secret<string>;
  readonly renewable: boolean;
  /** Milliseconds since the epoch; infinite for a token that does not end. */
  readonly renewAt: number;
  readonly until: number;
}

/** One login for as long as its token lives: a login for each request fills Vault with leases. */
export class VaultClient {
  readonly #settings: VaultSettings;
  #login: Promise<Login> | undefined;

  constructor(settings: VaultSettings) {
    this.#settings = settings;
  }

  /** The answer of Vault to an authorised request, whatever its status; 403 only when a fresh login did not help. */
  async request(method: string, path: string, body?: object): Promise<VaultAnswer> {
    const used = this.#current();
    const answer = await this.#send(method, path, (await used).token, body);
    if (answer.status !== 403 || this.#settings.auth.kind === 'token') return answer;
    // The token may have ended before its time: one login more, and no loop.
    if (this.#login === used) this.#login = undefined;
    return this.#send(method, path, (await this.#current()).token, body);
  }

  #current(): Promise<Login> {
    const known = this.#login;
    const next = known ? known.then((login) => this.#keep(login)) : this.#logIn();
    const kept: Promise<Login> = next.catch((error) => {
      if (this.#login === kept) this.#login = undefined;
      throw error;
    });
    this.#login = kept;
    return kept;
  }

  async #keep(login: Login): Promise<Login> {
    const now = Date.now();
    if (now < login.renewAt) return login;
    if (login.renewable && now < login.until) {
      const answer = await this.#send('POST', 'auth/token/renew-self', login.token, {});
      const renewed = answer.status === 200 ? loginOf(answer, login.token) : null;
      // At the end of what a token may live, renewing gives it no more: then it is time to log in again.
      if (renewed && renewed.until > now + 1000) return renewed;
    }
    return now < login.until && this.#settings.auth.kind === 'token' ? login : this.#logIn();
  }

  async #logIn(): Promise<Login> {
    const { auth } = this.#settings;
    if (auth.kind === 'token') return endless(await heldValue(auth.token));
    const body =
      auth.kind === 'approle'
        ? { role_id: auth.roleId, secret_id: (await heldValue(auth.secretId)).reveal() }
        : { role: auth.role, jwt: (await heldValue(auth.jwt)).reveal() };
    const answer = await this.#send('POST', `auth/${auth.path}/login`, null, body);
    const login = answer.status === 200 ? loginOf(answer, null) : null;
    if (login) return login;
    if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
      throw new SecretAccessDeniedError(
        'Vault does not accept who asks.',
        'Check LOCKGATE_VAULT_AUTH and what it names: the role, its secret ID or token, and the path of the method.',
      );
    }
    throw unavailable(answer.status);
  }

  async #send(method: string, path: string, token: Secret<string> | null, body?: object): Promise<VaultAnswer> {
    const { address, namespace, caFile } = this.#settings;
    const url = new URL(`/v1/${path}`, address);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      'x-vault-request': 'true',
      ...(token ? { 'x-vault-token': token.reveal() } : {}),
      ...(namespace ? { 'x-vault-namespace': namespace } : {}),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const ca =
      caFile && url.protocol === 'https:'
        ? { ca: [...rootCertificates, await readFile(caFile, 'utf8').catch(badCa)] }
        : {};
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const request = send(url, { method, headers, timeout: TIMEOUT_MS, ...ca }, resolve);
        request.once('error', reject);
        request.once('timeout', () => request.destroy(new Error('timeout')));
        request.end(text);
      });
      return { status: response.statusCode ?? 0, body: parsed(await textOf(response)) };
    } catch {
      throw unavailable(0);
    }
  }
}

/** What a path is made of is encoded; nothing that a person wrote can leave the engine's tree. */
export function pathOf(
  { mount, prefix }: VaultSettings,
  kind: 'data' | 'metadata',
  workspace: string,
  id?: string,
): string {
  const folder = `${mount}/${kind}/${encodeURIComponent(prefix)}/${encodeURIComponent(workspace)}`;
  return id === undefined ? folder : `${folder}/${encodeURIComponent(leafOf(workspace, id))}`;
}

/** Readable, and injective because part of a hash of the exact tuple follows. */
export function leafOf(workspace: string, id: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([workspace, id]))
    .digest('hex')
    .slice(0, 12);
  return `${id}-${hash}`;
}

export function unavailable(status: number): SecretManagerUnavailableError {
  if (status === 429) {
    return new SecretManagerUnavailableError(
      'secret_manager_throttled',
      'Vault asks for fewer requests.',
      'It is tried again; look at its rate limit quotas.',
    );
  }
  return new SecretManagerUnavailableError(
    'secret_manager_unavailable',
    status === 503 ? 'Vault is sealed.' : 'Vault did not answer as it should.',
    'Check LOCKGATE_VAULT_ADDR, and that Vault is unsealed and active.',
  );
}

function loginOf({ body }: VaultAnswer, known: Secret<string> | null): Login | null {
  const { client_token, lease_duration, renewable } = (body.auth ?? {}) as {
    client_token?: unknown;
    lease_duration?: unknown;
    renewable?: unknown;
  };
  const token = typeof client_token === 'string' ? new Secret(client_token) : known;
  if (!token) return null;
  const seconds = Number(lease_duration);
  if (!(seconds > 0)) return endless(token);
  const now = Date.now();
  return {
    token,
    renewable: renewable === true,
    renewAt: now + seconds * 1000 * RENEW_AT,
    until: now + seconds * 1000,
  };
}

function endless(token: Secret<string>): Login {
  return { token, renewable: false, renewAt: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY };
}

async function heldValue(held: Held): Promise<Secret<string>> {
  if ('value' in held) return held.value;
  try {
    return new Secret((await readFile(held.file, 'utf8')).trim());
  } catch {
    throw new ConfigError(
      `${held.file}, which the settings of Vault name, cannot be read.`,
      'Check the mount and its mode.',
    );
  }
}

function badCa(): never {
  throw new ConfigError('LOCKGATE_VAULT_CA_FILE cannot be read.', 'Check the path and its mode.');
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): VaultAnswer['body'] {
  try {
    const body = JSON.parse(text || '{}');
    return typeof body === 'object' && body !== null ? body : {};
  } catch {
    return {};
  }
}
