import { z } from 'zod';
import type { Connector, ConnectorType } from '../src/contract/connector.ts';
import type { Secret } from '../src/contract/secret.ts';

// biome-ignore lint/suspicious/noExplicitAny: each connector has its own credential and location; callers pass them through unread.
export type AnyConnector = Connector<any, any>;

/** The only list of connectors. Each is loaded, with its SDK, when it is first used. */
const LOADERS: Readonly<Record<ConnectorType, () => Promise<AnyConnector>>> = {
  azure: async () => (await import('./azure/connector.ts')).azure,
  gcs: async () => (await import('./gcs/connector.ts')).gcs,
  s3: async () => (await import('./s3/connector.ts')).s3,
  sharepoint: async () => (await import('./sharepoint/connector.ts')).sharepoint,
};

export function loadConnector(type: ConnectorType): Promise<AnyConnector> {
  return LOADERS[type]();
}

/** When a credential ends, as far as it says so itself; null: it does not. Throws `InputError` unless it has the type's form. */
export async function checkCredential(type: ConnectorType, credential: Secret<unknown>): Promise<Date | null> {
  const connector = await loadConnector(type);
  const parsed = credential.map(connector.parseCredential);
  return connector.expiryOf?.(parsed.reveal()) ?? null;
}

/** One field of a credential, as forms and documentation show it. */
export interface CredentialField {
  readonly name: string;
  readonly description: string;
  /** Whether a form hides what is typed. */
  readonly secret: boolean;
  readonly values?: readonly string[];
}

interface FieldSchema {
  readonly description?: string;
  readonly writeOnly?: boolean;
  readonly const?: string;
  readonly enum?: readonly string[];
}

/** The JSON Schema (2020-12) of a connector type's credential; secret fields are `writeOnly`. */
export async function credentialSchema(type: ConnectorType): Promise<object> {
  const { credentialFields } = await loadConnector(type);
  return z.toJSONSchema(credentialFields, { io: 'input', unrepresentable: 'any' });
}

/** The fields of a credential that have something to say, each once also where there are several forms of it. */
export async function describeCredential(type: ConnectorType): Promise<CredentialField[]> {
  const schema = (await credentialSchema(type)) as {
    properties?: Record<string, FieldSchema>;
    oneOf?: readonly { properties: Record<string, FieldSchema> }[];
  };
  const fields = new Map<string, CredentialField>();
  for (const { properties } of schema.oneOf ?? [{ properties: schema.properties ?? {} }]) {
    for (const [name, field] of Object.entries(properties)) {
      const known = fields.get(name);
      const values = [...(known?.values ?? []), ...(field.enum ?? (field.const ? [field.const] : []))];
      fields.set(name, {
        name,
        description: field.description ?? known?.description ?? '',
        secret: field.writeOnly ?? known?.secret ?? false,
        ...(values.length > 0 ? { values } : {}),
      });
    }
  }
  return [...fields.values()];
}
