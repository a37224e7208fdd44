import { z } from 'zod';
import { parseFields } from '../../src/contract/fields.ts';
import { CLOUDS, complaintOf, type EntraApp, entraFields } from '../entra/credential.ts';

const ACCOUNT = /^[a-z0-9]{3,24}$/;

/** https://learn.microsoft.com/azure/storage/common/storage-account-overview */
export const AzureFields = z.strictObject({
  account_name: z.string().regex(ACCOUNT).optional().meta({ description: 'The storage account.' }),
  sas_token: z
    .string()
    .max(4096)
    .transform((token) => token.replace(/^\?/, ''))
    .refine(isSas, { message: 'must be a shared access signature, such as sv=...&sp=rl&sig=...' })
    .optional()
    .meta({ description: 'A shared access signature with the rights to read and list.', writeOnly: true }),
  account_key: z
    .string()
    .regex(/^[A-Za-z0-9+/]{20,}={0,2}$/)
    .optional()
    .meta({ description: 'A key of the account. It may do everything: prefer a SAS.', writeOnly: true }),
  connection_string: z
    .string()
    .min(1)
    .max(8192)
    .optional()
    .meta({ description: "A connection string, as Azure's portal shows it.", writeOnly: true }),
  auth: z.enum(['managed_identity', 'workload_identity', 'anonymous']).optional().meta({
    description:
      'Without a secret: the identity of the machine, where the deployment allows it, or none for public containers.',
  }),
  ...entraFields,
  endpoint: z
    .string()
    .max(2048)
    .refine(isEndpoint, { message: 'must be the URL of a blob service' })
    .optional()
    .meta({ description: "Another blob endpoint than the account's own." }),
});

type Fields = z.infer<typeof AzureFields>;

/** One account and one way to prove who asks. */
export interface AzureCredential {
  readonly account: string;
  /** Of the blob service; without a slash at its end. */
  readonly endpoint: string;
  /** Whether the endpoint follows from the account and the cloud, so that nobody chose it. */
  readonly ownEndpoint: boolean;
  readonly proof:
    | { readonly kind: 'sas'; readonly token: string }
    | { readonly kind: 'account_key'; readonly key: string }
    | { readonly kind: 'app'; readonly app: EntraApp }
    | { readonly kind: 'managed_identity' | 'workload_identity'; readonly clientId: string | undefined }
    | { readonly kind: 'anonymous' };
}

const Credential = AzureFields.superRefine((fields, context) => {
  const complaint = complaintAbout(fields);
  if (complaint) context.addIssue({ code: 'custom', message: complaint });
}).transform(toCredential);

export function parseCredential(payload: unknown): AzureCredential {
  return parseFields(Credential, payload, 'invalid_credential', 'azure credential') as AzureCredential;
}

const APP_FIELDS = ['tenant_id', 'client_secret', 'certificate', 'private_key'] as const;

function complaintAbout(fields: Fields): string | null {
  const app = APP_FIELDS.some((name) => fields[name] !== undefined);
  const modes = [
    fields.sas_token && 'sas_token',
    fields.account_key && 'account_key',
    fields.connection_string && 'connection_string',
    app && 'tenant_id with client_id',
    fields.auth && 'auth',
  ].filter(Boolean);
  if (modes.length === 0) {
    return 'missing field sas_token (or account_key, connection_string, tenant_id with client_id and client_secret or certificate, or auth)';
  }
  if (modes.length > 1) return `give one of ${modes.join(', ')}`;
  if (fields.connection_string) return complaintAboutString(fields.connection_string, fields.account_name);
  if (!fields.account_name && !fields.endpoint) return 'missing field account_name';
  if (!fields.account_name && fields.account_key) return 'missing field account_name';
  return app ? complaintOf(fields) : null;
}

function toCredential(fields: Fields): AzureCredential {
  const { auth, account_key, sas_token, client_id } = fields;
  if (fields.connection_string) return fromConnectionString(fields.connection_string);
  const account = fields.account_name ?? '';
  const endpoint = trimmed(fields.endpoint ?? `https://${account}.${CLOUDS[fields.cloud].blob}`);
  const base = { account, endpoint, ownEndpoint: fields.endpoint === undefined };
  if (sas_token) return { ...base, proof: { kind: 'sas', token: sas_token } };
  if (account_key) return { ...base, proof: { kind: 'account_key', key: account_key } };
  if (auth === 'anonymous') return { ...base, proof: { kind: 'anonymous' } };
  if (auth) return { ...base, proof: { kind: auth, clientId: client_id } };
  return { ...base, proof: { kind: 'app', app: fields as EntraApp } };
}

type Parts = ReadonlyMap<string, string>;

/** `Name=value;Name=value`, names in any case. https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string */
function partsOf(text: string): Parts {
  const parts = text.split(';').filter((part) => part.trim() !== '');
  return new Map(
    parts.map((part) => {
      const at = part.indexOf('=');
      return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
    }),
  );
}

function complaintAboutString(text: string, account: string | undefined): string | null {
  const parts = partsOf(text);
  const name = parts.get('accountname');
  const field = 'field connection_string';
  if (parts.get('usedevelopmentstorage')) return `${field} is the emulator's short form: give it in full`;
  if (!parts.get('accountkey') && !parts.get('sharedaccesssignature'))
    return `${field} has no AccountKey and no SharedAccessSignature`;
  if (parts.get('accountkey') && !name) return `${field} has no AccountName`;
  if (name !== undefined && !ACCOUNT.test(name)) return `${field} has an AccountName of the wrong form`;
  if (account !== undefined && name !== undefined && account !== name)
    return `${field} is for another account than account_name`;
  const endpoint = parts.get('blobendpoint');
  if (endpoint === undefined && !name) return `${field} has neither AccountName nor BlobEndpoint`;
  if (endpoint !== undefined && !isEndpoint(endpoint)) return `${field} has a BlobEndpoint that is no URL`;
  const suffix = parts.get('endpointsuffix');
  if (suffix !== undefined && !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(suffix))
    return `${field} has an EndpointSuffix of the wrong form`;
  return null;
}

const OWN_SUFFIXES: readonly string[] = Object.values(CLOUDS).map(({ blob }) => blob);

function fromConnectionString(text: string): AzureCredential {
  const parts = partsOf(text);
  const account = parts.get('accountname') ?? '';
  const suffix = `blob.${parts.get('endpointsuffix') ?? 'core.windows.net'}`;
  const named = parts.get('blobendpoint');
  const protocol = parts.get('defaultendpointsprotocol') === 'http' ? 'http' : 'https';
  const endpoint = trimmed(named ?? `${protocol}://${account}.${suffix}`);
  const ownEndpoint = named === undefined && protocol === 'https' && OWN_SUFFIXES.includes(suffix);
  const key = parts.get('accountkey');
  const token = (parts.get('sharedaccesssignature') ?? '').replace(/^\?/, '');
  return { account, endpoint, ownEndpoint, proof: key ? { kind: 'account_key', key } : { kind: 'sas', token } };
}

function isSas(token: string): boolean {
  const fields = new URLSearchParams(token);
  return fields.has('sig') && (fields.has('sv') || fields.has('sp'));
}

function isEndpoint(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, search, hash } = new URL(url);
  return /^https?:$/.test(protocol) && username === '' && search === '' && hash === '';
}

function trimmed(url: string): string {
  return url.replace(/\/+$/, '');
}
