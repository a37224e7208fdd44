import { z } from 'zod';
import type { Egress } from '../contract/connector.ts';
import { CredentialUnusableError, InputError } from '../contract/errors.ts';
import { parseFields } from '../contract/fields.ts';
import type { Secret } from '../contract/secret.ts';
import type { AccessedSecret } from '../contract/secret-manager.ts';
import type { NamedManager } from './managers.ts';
import type { VaultAuth } from './vault/settings.ts';

const path = z.string().regex(/^[\w-]+(\/[\w-]+)*$/);

/** What a workspace says of its own Vault; what opens it is a secret and not here. */
export const RegisteredSettings = z.strictObject({
  backend: z.literal('vault'),
  address: z.url({ protocol: /^https?$/ }),
  namespace: z.string().max(256).optional(),
  mount: path.default('secret'),
  kv: z.union([z.literal(1), z.literal(2)]).default(2),
  ca: z.string().max(65_536).includes('BEGIN CERTIFICATE').optional(),
  auth: z.enum(['token', 'approle']).default('token'),
  authPath: path.default('approle'),
  roleId: z.string().min(1).max(256).optional(),
  prefix: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9_-]{0,39}$/)
    .default('lockgate'),
});
export type RegisteredSettings = z.infer<typeof RegisteredSettings>;

/** Throws `InputError` that names the field. */
export function parseRegistered(given: unknown): RegisteredSettings {
  const settings = parseFields(RegisteredSettings, given, 'invalid_settings', 'settings of the secret manager');
  if (settings.auth === 'approle' && !settings.roleId) {
    throw new InputError('invalid_settings', 'The settings of the secret manager lack roleId.', 'AppRole needs it.');
  }
  return settings;
}

/** The ID, in the default manager, of what opens a registered one. */
export function openerId(name: string): string {
  return `manager-${name}`;
}

/** What opens a manager, as the default manager keeps it. */
export function openerOf(settings: RegisteredSettings, given: Secret<string>): Secret<unknown> {
  return given.map((value) => {
    if (value === '') throw new InputError('invalid_settings', 'What opens the secret manager is empty.');
    return settings.auth === 'token' ? { token: value } : { secret_id: value };
  });
}

/** The manager that the settings and the opener make. Its secrets belong to the workspace, all of them. */
export function registeredManager(name: string, given: unknown, opener: AccessedSecret, egress: Egress): NamedManager {
  const { backend, address, namespace, mount, kv, ca, auth, authPath, roleId, prefix } = parseRegistered(given);
  const field = auth === 'token' ? 'token' : 'secret_id';
  const value = opener.value.map((fields) => {
    const found = (fields as Record<string, unknown> | null)?.[field];
    if (opener.connectorType === 'manager' && typeof found === 'string') return found;
    throw new CredentialUnusableError(
      'credential_malformed',
      `"${opener.ref.secretId}" does not open a secret manager.`,
      'Register it again: lockgate secrets register',
    );
  });
  const proof: VaultAuth =
    auth === 'token'
      ? { kind: 'token', token: { value } }
      : { kind: 'approle', path: authPath, roleId: roleId ?? '', secretId: { value } };
  return {
    name,
    foreign: ['*'],
    workspaces: null,
    settings: {
      backend,
      address: new URL(address).origin,
      namespace: namespace ?? null,
      mount,
      kv,
      ca: ca ? { pem: ca } : null,
      prefix,
      template: null,
      auth: proof,
      egress,
    },
  };
}
