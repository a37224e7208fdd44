/** A JSON Schema of a credential, as far as the form needs it. */
export interface Schema {
  readonly properties?: Readonly<Record<string, Property>>;
  readonly required?: readonly string[];
  readonly oneOf?: readonly Schema[];
}

export interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly writeOnly?: boolean;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly default?: unknown;
  readonly maxLength?: number;
}

export interface Field extends Property {
  readonly name: string;
  readonly required: boolean;
  /** Whether it stands with those that are rarely needed. */
  readonly more: boolean;
}

/** What most people have; everything else is one click away. */
const USUAL: Readonly<Record<string, readonly string[]>> = {
  s3: ['access_key_id', 'secret_access_key', 'session_token', 'region', 'endpoint'],
  gcs: ['project_id', 'client_email', 'private_key', 'audience', 'subject_token_type', 'credential_source'],
  azure: ['account_name', 'sas_token'],
  sharepoint: ['tenant_id', 'client_id', 'client_secret'],
};

/** The kinds of credential that a type has, by what their field `type` says; one nameless kind where there is but one. */
export function kindsOf(schema: Schema): readonly string[] {
  return schema.oneOf?.map(({ properties }) => properties?.type?.const ?? '') ?? [''];
}

export function fieldsOf(type: string, schema: Schema, kind: string): Field[] {
  const chosen = schema.oneOf?.find(({ properties }) => properties?.type?.const === kind) ?? schema;
  return Object.entries(chosen.properties ?? {})
    .filter(([, { const: fixed }]) => fixed === undefined)
    .map(([name, property]) => ({
      ...property,
      name,
      required: chosen.required?.includes(name) ?? false,
      more: !USUAL[type]?.includes(name),
    }));
}

export type Values = Readonly<Record<string, string>>;

/** The credential that was typed in. Fields left empty are absent. Throws `SyntaxError` for a field that is no JSON. */
export function credentialOf(fields: readonly Field[], kind: string, values: Values): Record<string, unknown> {
  const given = fields
    .filter(({ name }) => (values[name] ?? '') !== '')
    .map(({ name, type }): [string, unknown] => [name, parsedAs(type, values[name] ?? '')]);
  return { ...(kind ? { type: kind } : {}), ...Object.fromEntries(given) };
}

function parsedAs(type: string | undefined, text: string): unknown {
  if (type === 'boolean') return text === 'true';
  if (type === 'number' || type === 'integer') return Number(text);
  return type === 'object' ? JSON.parse(text) : text;
}

/** What a pasted or dropped JSON says, as the form has it; null: it is no JSON object. */
export function valuesIn(text: string): { readonly kind: string | null; readonly values: Values } | null {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return null;
    const { type, ...rest } = parsed as Record<string, unknown>;
    const values = Object.entries(rest).map(([name, value]): [string, string] => [
      name,
      typeof value === 'object' ? JSON.stringify(value) : String(value),
    ]);
    return { kind: typeof type === 'string' ? type : null, values: Object.fromEntries(values) };
  } catch {
    return null;
  }
}
