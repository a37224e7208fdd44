import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ConfigError } from '../contract/errors.ts';
import { parseYaml } from '../contract/yaml.ts';

/** What can be done. */
// biome-ignore format: one line reads better.
export const PERMISSIONS = ['list', 'describe', 'add', 'label', 'reveal', 'disable', 'destroy', 'delete', 'tokens', 'audit'] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** Who may administer may not reveal: that is a role of its own. */
export const ROLES = {
  lister: ['list', 'describe'],
  writer: ['list', 'describe', 'add', 'label'],
  revealer: ['reveal'],
  admin: ['list', 'describe', 'add', 'label', 'disable', 'destroy', 'delete', 'tokens'],
  auditor: ['list', 'describe', 'audit'],
} as const satisfies Record<string, readonly Permission[]>;
export type StoreRole = keyof typeof ROLES;

const Rule = z.strictObject({
  /** Such as `token:worker`, `cert:worker`, `serviceaccount:namespace/name`, `oidc:issuer/subject`, `group:issuer/name`; a star at the end stands for anything. */
  who: z.array(z.string().min(1)).min(1),
  workspaces: z.array(z.string().min(1)).min(1),
  /** Beginnings of secret IDs; absent: all. */
  prefixes: z.array(z.string()).min(1).optional(),
  roles: z.array(z.enum(Object.keys(ROLES) as [StoreRole, ...StoreRole[]])).min(1),
});

const Issuer = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/),
  kind: z.enum(['oidc', 'kubernetes']),
  issuer: z.string().min(1),
  audience: z.string().min(1),
  /** Where the issuer's keys are; absent: its discovery document says so. */
  jwks: z.url().optional(),
  /** The claim with a person's groups. */
  groups: z.string().default('groups'),
});
export type Issuer = z.infer<typeof Issuer>;

const Policy = z.strictObject({
  issuers: z.array(Issuer).default([]),
  /** Service accounts of Kubernetes that are let in at all, as `namespace/name`. */
  serviceAccounts: z.array(z.string().regex(/^[a-z0-9.-]+\/[a-z0-9.-]+$/)).default([]),
  rules: z.array(Rule).default([]),
});
export type Policy = z.infer<typeof Policy>;

/** Who asks. */
export interface Principal {
  readonly id: string;
  readonly groups: readonly string[];
}

export interface Decision {
  readonly allowed: boolean;
  /** Counted from 1; null: no rule permits it. */
  readonly rule: number | null;
}

/** Deny by default: the first rule that permits it decides. `secretId` null: of the workspace as a whole. */
export function decide(
  policy: Policy,
  { id, groups }: Principal,
  permission: Permission,
  on: { readonly workspace: string; readonly secretId: string | null },
): Decision {
  const names = [id, ...groups];
  const rule = policy.rules.findIndex(
    ({ who, workspaces, prefixes, roles }) =>
      who.some((pattern) => names.some((name) => matches(pattern, name))) &&
      workspaces.some((pattern) => matches(pattern, on.workspace)) &&
      roles.some((role) => (ROLES[role] as readonly Permission[]).includes(permission)) &&
      (!prefixes ||
        prefixes.some((prefix) => (on.secretId === null ? permission === 'list' : on.secretId.startsWith(prefix)))),
  );
  return rule < 0 ? { allowed: false, rule: null } : { allowed: true, rule: rule + 1 };
}

function matches(pattern: string, text: string): boolean {
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : pattern === text;
}

/** Throws `ConfigError` that says where the file is wrong. */
export async function readPolicy(file: string): Promise<Policy> {
  return policyIn(await readFile(file, 'utf8').catch(() => null), file);
}

/** `text` null: the file cannot be read. */
function policyIn(text: string | null, file: string): Policy {
  let parsed: unknown;
  try {
    if (text === null) throw new Error('unreadable');
    parsed = parseYaml(text);
  } catch {
    throw new ConfigError(`The policy ${file} cannot be read as YAML.`, 'Make one with: lockgate securestore init');
  }
  const policy = Policy.safeParse(parsed ?? {});
  if (policy.success) return policy.data;
  const { path, message } = policy.error.issues[0] ?? { path: [], message: '' };
  throw new ConfigError(`The policy ${file} is wrong at ${path.join('.') || 'its beginning'}: ${message}.`);
}

type OnChange = (outcome: { readonly policy?: Policy; readonly error?: unknown }) => void;

/** A policy that follows its file: what can be read replaces the whole of what was, what cannot leaves it as it was. */
export class PolicyFile {
  readonly #file: string;
  readonly #onChange: OnChange;
  #policy: Policy;
  #text: string;

  private constructor(file: string, policy: Policy, text: string, onChange: OnChange) {
    this.#file = file;
    this.#policy = policy;
    this.#text = text;
    this.#onChange = onChange;
  }

  static async open(file: string, onChange: OnChange): Promise<PolicyFile> {
    const text = await readFile(file, 'utf8').catch(() => null);
    return new PolicyFile(file, policyIn(text, file), text ?? '', onChange);
  }

  get current(): Policy {
    return this.#policy;
  }

  /** Looks whether the file says something else by now. */
  async reload(): Promise<void> {
    const text = await readFile(this.#file, 'utf8').catch(() => this.#text);
    if (text === this.#text) return;
    this.#text = text;
    try {
      this.#policy = policyIn(text, this.#file);
      this.#onChange({ policy: this.#policy });
    } catch (error) {
      this.#onChange({ error });
    }
  }
}
