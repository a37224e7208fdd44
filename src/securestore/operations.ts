import { z } from 'zod';
import type { Database } from '../contract/database.ts';
import { InputError, LockgateError } from '../contract/errors.ts';
import { Secret } from '../contract/secret.ts';
import { SECRET_ID } from '../secrets/identifier.ts';
import type { Keyring } from './keyring.ts';
import { type Decision, decide, type Permission, type Policy, type Principal } from './policy.ts';
import { seal, unseal, type VersionName } from './seal.ts';
import {
  addVersion,
  deleteSecret,
  findSecret,
  findVersion,
  labelSecret,
  listSecrets,
  type StoredSecret,
  setState,
  undeleteSecret,
  versionsOf,
} from './store.ts';

/** One line of the audit log of the store. */
export interface StoreEvent {
  readonly action: `securestore.${string}`;
  readonly actor: string;
  readonly remote: string;
  readonly requestId: string;
  readonly workspace?: string;
  readonly secretId?: string;
  readonly version?: number;
  /** Of the policy; null: no rule permits it. */
  readonly rule?: number | null;
  readonly outcome: 'attempt' | 'ok' | 'refused' | 'denied';
  readonly reason?: string;
  readonly runId?: string;
  readonly sourceId?: string;
}

export interface StoreParts {
  readonly db: Database;
  readonly storeId: string;
  readonly keys: Keyring;
  readonly policy: () => Policy;
  /** Resolves when the line is durable; when it throws, nothing is done and nothing is given out. */
  readonly audit: (event: StoreEvent) => Promise<void>;
  readonly graceSeconds: number;
}

/** Who asks, from where. */
export interface Request {
  readonly who: Principal;
  readonly remote: string;
  readonly requestId: string;
}

const WORKSPACE = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** Of a value, in bytes of its JSON. */
export const MAX_VALUE_BYTES = 512 * 1024;

export const Labels = z
  .record(z.string().regex(/^[A-Za-z0-9][\w./-]{0,62}$/), z.string().max(256))
  .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels');
export const Addition = z.strictObject({
  type: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/),
  value: z.unknown(),
  labels: Labels.optional(),
  scope: z.unknown().optional(),
  expiresAt: z.iso.datetime().nullable().optional(),
  expected: z.int().min(0).optional(),
});
export const Reveal = z.strictObject({
  reason: z.string().max(200).optional(),
  actor: z.string().max(200).optional(),
  runId: z.string().max(100).optional(),
  sourceId: z.string().max(100).optional(),
});

interface Where {
  readonly workspace: string;
  readonly secretId: string;
}

/** What may be asked of the store, each permitted by the policy, written down before it is done and after. */
export class Operations {
  readonly #parts: StoreParts;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  async list(
    request: Request,
    workspace: string,
    { type, after, limit }: { type: string | null; after: string; limit: number },
  ): Promise<{ items: StoredSecret[]; next: string | null }> {
    assertWorkspace(workspace);
    return this.#audited(request, 'list', { workspace, secretId: null }, {}, async () => {
      const found = await listSecrets(this.#parts.db, workspace, { type, after, limit });
      const may = ({ id }: StoredSecret) =>
        decide(this.#parts.policy(), request.who, 'list', { workspace, secretId: id }).allowed;
      return { items: found.filter(may), next: found.length === limit ? (found.at(-1)?.id ?? null) : null };
    });
  }

  async describe(request: Request, where: Where) {
    return this.#audited(request, 'describe', where, {}, async () => {
      const found = await findSecret(this.#parts.db, where.workspace, where.secretId);
      if (!found) throw notFound(where);
      return { ...found, versions: await versionsOf(this.#parts.db, where.workspace, where.secretId) };
    });
  }

  async add(request: Request, where: Where, body: unknown, requestKey: string | undefined) {
    const given = parsed(Addition, body);
    const text = new Secret(given.value).map((value) => JSON.stringify(value) ?? 'null');
    if (text.map((value) => Buffer.byteLength(value) > MAX_VALUE_BYTES).equals(new Secret(true)))
      throw new InputError('value_too_large', `A value may have ${MAX_VALUE_BYTES} bytes at the most.`);
    const { db, keys, storeId } = this.#parts;
    const { workspace, secretId } = where;
    return this.#audited(request, 'add', where, {}, () => {
      const { active } = keys;
      return addVersion(db, {
        workspace,
        id: secretId,
        type: given.type,
        by: request.who.id,
        labels: given.labels,
        ...(given.scope === undefined ? {} : { scope: given.scope }),
        expiresAt: given.expiresAt ? new Date(given.expiresAt) : null,
        expected: given.expected,
        requestKey,
        mayReplaceDeleted: decide(this.#parts.policy(), request.who, 'delete', where).allowed,
        seal: (version) => seal(text, { store: storeId, workspace, secretId, version, type: given.type }, active),
      });
    });
  }

  async label(request: Request, where: Where, labels: Readonly<Record<string, string>>, etag: string | null) {
    return this.#audited(request, 'label', where, {}, async () => {
      const changed = await labelSecret(this.#parts.db, where.workspace, where.secretId, labels, etag);
      if (changed) return changed;
      throw notFound(where);
    });
  }

  /** The one that gives a value out. */
  async reveal(request: Request, where: Where, version: number | 'latest', body: unknown) {
    const { reason, actor, runId, sourceId } = parsed(Reveal, body ?? {});
    const { db, keys, storeId } = this.#parts;
    const facts = {
      ...(version === 'latest' ? {} : { version }),
      ...(reason ? { reason } : {}),
      ...(actor ? { onBehalfOf: actor } : {}),
      ...(runId ? { runId } : {}),
      ...(sourceId ? { sourceId } : {}),
    };
    return this.#audited(
      request,
      'reveal',
      where,
      facts,
      async () => {
        const found = await findVersion(db, where.workspace, where.secretId, version);
        if (!found) throw notFound(where);
        if (found.state === 'disabled')
          throw new LockgateError('version_disabled', 'The version is disabled.', 'Enable it, or use another.');
        if (!found.sealed) throw new LockgateError('version_destroyed', 'The version is destroyed for good.');
        const { secret, sealed } = found;
        const name: VersionName = { store: storeId, ...where, version: found.version, type: secret.type };
        return { secret, version: found.version, value: await unseal(sealed, name, keys.byId(sealed.kek)) };
      },
      ({ version: given }) => ({ version: given }),
    );
  }

  async setState(
    request: Request,
    where: Where,
    version: number,
    state: 'enabled' | 'disabled' | 'destroyed',
  ): Promise<void> {
    const permission = state === 'destroyed' ? 'destroy' : 'disable';
    await this.#audited(request, permission, where, { version, reason: state }, async () => {
      if (!(await setState(this.#parts.db, where.workspace, where.secretId, version, state))) throw notFound(where);
    });
  }

  async delete(request: Request, where: Where): Promise<{ purgeAt: Date }> {
    return this.#audited(request, 'delete', where, {}, async () => {
      const { db, graceSeconds } = this.#parts;
      const deleted = await deleteSecret(db, where.workspace, where.secretId, graceSeconds);
      if (deleted) return deleted;
      throw notFound(where);
    });
  }

  async undelete(request: Request, where: Where): Promise<void> {
    await this.#audited(request, 'delete', where, { reason: 'undelete' }, async () => {
      if (!(await undeleteSecret(this.#parts.db, where.workspace, where.secretId))) throw notFound(where);
    });
  }

  /** For what concerns the store as a whole. */
  async ofStore<T>(request: Request, permission: 'tokens' | 'audit', work: () => Promise<T>): Promise<T> {
    return this.#audited(request, permission, { workspace: '*', secretId: '*' }, {}, work);
  }

  async #audited<T>(
    { who, remote, requestId }: Request,
    permission: Permission,
    where: { readonly workspace: string; readonly secretId: string | null },
    facts: Partial<StoreEvent>,
    work: () => Promise<T>,
    told: (result: T) => Partial<StoreEvent> = () => ({}),
  ): Promise<T> {
    if (where.secretId !== null && where.secretId !== '*') assertWhere(where as Where);
    const { policy, audit } = this.#parts;
    const decision: Decision = decide(policy(), who, permission, where);
    const event = {
      action: `securestore.${permission}` as const,
      actor: who.id,
      remote,
      requestId,
      workspace: where.workspace,
      ...(where.secretId === null ? {} : { secretId: where.secretId }),
      rule: decision.rule,
      ...facts,
    };
    if (!decision.allowed) {
      await audit({ ...event, outcome: 'denied' });
      throw new LockgateError(
        'forbidden',
        `The policy does not permit ${who.id} to ${permission} here.`,
        `Ask which rule decides: lockgate securestore policy test --who ${who.id} --may ${permission} --on workspaces/${where.workspace}/secrets/${where.secretId ?? '*'}`,
      );
    }
    await audit({ ...event, outcome: 'attempt' });
    let result: T;
    try {
      result = await work();
    } catch (error) {
      await audit({ ...event, outcome: 'refused' });
      throw error;
    }
    await audit({ ...event, ...told(result), outcome: 'ok' });
    return result;
  }
}

function assertWorkspace(workspace: string): void {
  if (!WORKSPACE.test(workspace)) throw new InputError('invalid_workspace', 'This is no name of a workspace.');
}

function assertWhere({ workspace, secretId }: Where): void {
  assertWorkspace(workspace);
  if (!SECRET_ID.test(secretId)) throw new InputError('invalid_secret_id', 'This is no ID of a secret.');
}

/** Says which fields are wrong, and never what they hold. */
export function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const found = schema.safeParse(body);
  if (found.success) return found.data;
  const fields = found.error.issues.map(({ path, code, ...more }) =>
    code === 'unrecognized_keys' ? (more as { keys: string[] }).keys.join(', ') : path.join('.') || 'the body',
  );
  throw new InputError('invalid_input', `These fields are missing or wrong: ${[...new Set(fields)].join(', ')}.`);
}

function notFound({ secretId }: Where): LockgateError {
  return new LockgateError('secret_not_found', `There is no secret "${secretId}", or no such version of it.`);
}
