import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { ConfigError, SecretAccessDeniedError, SecretManagerUnavailableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import { type Exchanged, exchange } from '../exchange.ts';
import type { Held, VaultAuth, VaultSettings } from './settings.ts';

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** A token is renewed when this much of its life has passed. */
const RENEW_AT = 2 / 3;
/** How long a refused login is not tried again: each would count against the account and against Vault. */
const REFUSED_MS = 15_000;
/** How long a wrapped secret ID may wait to be unwrapped. */
const WRAP_TTL = '60s';

export interface VaultAnswer {
  readonly status: number;
  readonly body: {
    readonly data?: unknown;
    readonly errors?: readonly unknown[];
    readonly auth?: unknown;
    readonly wrap_info?: unknown;
  };
}

interface Login {
  readonly token: Secret<string>;
  readonly renewable: boolean;
  /** Milliseconds since the epoch; infinite for a token that does not end. */
  readonly renewAt: number;
  readonly until: number;
}

const clients = new WeakMap<VaultSettings, VaultClient>();

/** The one client of this process for these settings. */
export function vaultClient(settings: VaultSettings): VaultClient {
  const client = clients.get(settings) ?? new VaultClient(settings);
  clients.set(settings, client);
  return client;
}

/** One login for as long as its token lives: a login for each request fills Vault with leases. */
class VaultClient {
  readonly #settings: VaultSettings;
  #login: Promise<Login> | undefined;
  #refused: { readonly error: SecretAccessDeniedError; readonly until: number } | undefined;

  constructor(settings: VaultSettings) {
    this.#settings = settings;
  }

  /** The answer of Vault to an authorised request, whatever its status; 403 only when a fresh login did not help. */
  async request(method: string, path: string, body?: object): Promise<VaultAnswer> {
    const used = this.#current();
    const answer = await this.#send(method, path, (await used).token, body);
    const { auth } = this.#settings;
    if (answer.status !== 403 || (auth.kind === 'token' && 'value' in auth.token)) return answer;
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
    if (this.#refused && Date.now() < this.#refused.until) throw this.#refused.error;
    try {
      const { auth } = this.#settings;
      if (auth.kind === 'token') return await this.#lookUp(await heldValue(auth.token));
      if (auth.kind !== 'wrapped') return await this.#logInAs(auth);
      const secretId = { value: await this.#unwrappedSecretId(auth) };
      return await this.#logInAs({ kind: 'approle', path: auth.path, roleId: auth.roleId, secretId });
    } catch (error) {
      if (error instanceof SecretAccessDeniedError) this.#refused = { error, until: Date.now() + REFUSED_MS };
      throw error;
    }
  }

  /** How long a token lives that was given. One that may not look itself up is taken as it is. */
  async #lookUp(token: Secret<string>): Promise<Login> {
    const answer = await this.#send('GET', 'auth/token/lookup-self', token);
    const { ttl, renewable } = (answer.body.data ?? {}) as { ttl?: unknown; renewable?: unknown };
    if (answer.status !== 200 || !(Number(ttl) > 0)) return endless(token);
    return loginOf({ status: 200, body: { auth: { lease_duration: ttl, renewable } } }, token) ?? endless(token);
  }

  async #logInAs(auth: Extract<VaultAuth, { kind: 'approle' | 'jwt' }>): Promise<Login> {
    const body =
      auth.kind === 'approle'
        ? { role_id: auth.roleId, secret_id: (await heldValue(auth.secretId)).reveal() }
        : { role: auth.role, jwt: (await heldValue(auth.jwt)).reveal() };
    const answer = await this.#send('POST', `auth/${auth.path}/login`, null, body);
    const login = answer.status === 200 ? loginOf(answer, null) : null;
    if (login) return login;
    throw refusedOr(
      answer,
      'Check LOCKGATE_VAULT_AUTH and what it names: the role, its secret ID or token, and the path of the method.',
    );
  }

  /** As the worker, who may do only this; what is unwrapped must have been made where it says. */
  async #unwrappedSecretId({ path, runner, worker }: Extract<VaultAuth, { kind: 'wrapped' }>): Promise<Secret<string>> {
    const hint = 'The worker needs create and update on auth/PATH/role/RUNNER/secret-id, and nothing else.';
    const token = worker.kind === 'token' ? await heldValue(worker.token) : (await this.#logInAs(worker)).token;
    const made = `auth/${path}/role/${encodeURIComponent(runner)}/secret-id`;
    const answer = await this.#send('POST', made, token, {}, { 'x-vault-wrap-ttl': WRAP_TTL });
    const info = answer.body.wrap_info as { token?: unknown; creation_path?: unknown } | undefined;
    if (answer.status !== 200 || typeof info?.token !== 'string') throw refusedOr(answer, hint);
    const wrapping = new Secret(info.token);
    const looked = await this.#send('POST', 'sys/wrapping/lookup', null, { token: wrapping.reveal() });
    const { creation_path } = (looked.body.data ?? {}) as { creation_path?: unknown };
    if (looked.status !== 200 || creation_path !== made)
      throw refusedOr(
        looked.status === 200 ? { status: 403 } : looked,
        'The wrapped secret ID is not what was asked for.',
      );
    const unwrapped = await this.#send('POST', 'sys/wrapping/unwrap', wrapping, {});
    const { secret_id } = (unwrapped.body.data ?? {}) as { secret_id?: unknown };
    if (unwrapped.status === 200 && typeof secret_id === 'string') return new Secret(secret_id);
    throw refusedOr(unwrapped, 'Somebody else may have unwrapped the secret ID: look at the audit log of Vault.');
  }

  async #send(
    method: string,
    path: string,
    token: Secret<string> | null,
    body?: object,
    more: Readonly<Record<string, string>> = {},
  ): Promise<VaultAnswer> {
    const { address, namespace, ca: trusted, egress } = this.#settings;
    const url = new URL(`/v1/${path}`, address);
    const text = body === undefined ? undefined : JSON.stringify(body);
    egress?.assertEndpoint(url, 'public');
    const lookup = egress?.lookupFor(url);
    const headers = {
      'x-vault-request': 'true',
      ...more,
      ...(token ? { 'x-vault-token': token.reveal() } : {}),
      ...(namespace ? { 'x-vault-namespace': namespace } : {}),
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const ca =
      trusted && url.protocol === 'https:'
        ? {
            ca: [
              ...rootCertificates,
              'pem' in trusted ? trusted.pem : await readFile(trusted.file, 'utf8').catch(badCa),
            ],
          }
        : {};
    const options = { method, headers, ...ca, ...(lookup ? { lookup } : {}) };
    const answer = await exchange(url, options, text, MAX_ANSWER_BYTES).catch(() => null);
    if (!answer || !isOfVault(answer)) throw unavailable(answer?.status === 429 ? 429 : 0);
    return { status: answer.status, body: answer.body ?? {} };
  }
}

/**
 * Whether Vault answered, or somebody between. Its errors have a list of them, or what is left of a version that was deleted.
 * https://developer.hashicorp.com/vault/api-docs#error-response
 */
function isOfVault({ status, body }: Exchanged): boolean {
  return body !== null && (status < 400 || Array.isArray(body.errors) || 'data' in body);
}

/** 412: a server that has not heard of it yet. https://developer.hashicorp.com/vault/api-docs#http-status-codes */
const ASK_AGAIN: readonly number[] = [412, 429];

function refusedOr({ status }: Pick<VaultAnswer, 'status'>, hint: string): Error {
  if (status < 400 || status >= 500 || ASK_AGAIN.includes(status)) return unavailable(status);
  return new SecretAccessDeniedError('Vault does not accept who asks.', hint);
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

export type { VaultClient };
