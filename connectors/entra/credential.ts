import { createPrivateKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';

const text = z.string().min(1).max(4096);
const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Microsoft's separate clouds, each with its own identity service. https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud */
export const CLOUDS = {
  public: {
    authority: 'https://login.microsoftonline.com',
    graph: 'https://graph.microsoft.com',
    blob: 'blob.core.windows.net',
    sharepoint: 'sharepoint.com',
  },
  usgov: {
    authority: 'https://login.microsoftonline.us',
    graph: 'https://graph.microsoft.us',
    blob: 'blob.core.usgovcloudapi.net',
    sharepoint: 'sharepoint.us',
  },
  usgovdod: {
    authority: 'https://login.microsoftonline.us',
    graph: 'https://dod-graph.microsoft.us',
    blob: 'blob.core.usgovcloudapi.net',
    sharepoint: 'sharepoint-mil.us',
  },
  china: {
    authority: 'https://login.partner.microsoftonline.cn',
    graph: 'https://microsoftgraph.chinacloudapi.cn',
    blob: 'blob.core.chinacloudapi.cn',
    sharepoint: 'sharepoint.cn',
  },
} as const;
export type Cloud = keyof typeof CLOUDS;

/** The fields by which an application proves itself to Microsoft Entra ID. */
export const entraFields = {
  tenant_id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,253}$/i)
    .optional()
    .meta({ description: 'The directory (tenant) ID, or one of its domains.' }),
  client_id: z.string().regex(guid).optional().meta({ description: 'The application (client) ID.' }),
  client_secret: text
    .optional()
    .meta({ description: "The value of a client secret of the application, not the secret's ID.", writeOnly: true }),
  certificate: z
    .string()
    .max(32_768)
    .refine(isCertificate, { message: 'must be an X.509 certificate in PEM' })
    .optional()
    .meta({ description: 'Instead of a secret: the certificate, in PEM.' }),
  private_key: z
    .string()
    .max(16_384)
    .refine(isPrivateKey, { message: 'must be an unencrypted RSA private key in PEM' })
    .optional()
    .meta({ description: "The certificate's private key, in PEM.", writeOnly: true }),
  cloud: z
    .enum(['public', 'usgov', 'usgovdod', 'china'])
    .default('public')
    .meta({ description: 'The national cloud.' }),
  authority: z
    .string()
    .refine(isOrigin, { message: 'must be an origin such as https://login.example.com' })
    .optional()
    .meta({ description: "Another identity service than the cloud's own; the deployment must list it." }),
} as const;

export interface EntraApp {
  readonly tenant_id: string;
  readonly client_id: string;
  readonly client_secret?: string | undefined;
  readonly certificate?: string | undefined;
  readonly private_key?: string | undefined;
  readonly cloud: Cloud;
  readonly authority?: string | undefined;
}

type EntraFields = Partial<EntraApp>;

/** What is missing or too much for an application to prove itself; null when all is well. */
export function complaintOf(fields: EntraFields): string | null {
  const { tenant_id, client_id, client_secret, certificate, private_key } = fields;
  if (!tenant_id) return 'missing field tenant_id';
  if (!client_id) return 'missing field client_id';
  if (client_secret && certificate) return 'give either client_secret or certificate';
  if (Boolean(certificate) !== Boolean(private_key)) return 'certificate and private_key belong together';
  if (!client_secret && !certificate) return 'missing field client_secret (or certificate with private_key)';
  return null;
}

/** When the certificate ends; null: there is none. */
export function certificateExpiry({ certificate }: EntraFields): Date | null {
  return certificate ? new X509Certificate(certificate).validToDate : null;
}

export function isOrigin(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, pathname, search } = new URL(url);
  return /^https?:$/.test(protocol) && username === '' && pathname === '/' && search === '';
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).publicKey.asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}
