import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { parseFields } from '../../src/contract/fields.ts';

const text = z.string().min(1).max(4096);
const url = z.string().refine(isOrigin, { message: 'must be a URL' });
const DEFAULT_UNIVERSE = 'googleapis.com';
const ACCOUNT = /^[^\s@]{1,200}@[a-z0-9.-]{1,200}$/;

/** Ours, beside what Google's files say. */
const more = {
  universe_domain: z
    .string()
    .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/)
    .default(DEFAULT_UNIVERSE)
    .meta({ description: 'Another universe than Google’s own must be listed by the deployment.' }),
  endpoint: url.optional().meta({
    description: 'Another endpoint than the universe’s own, such as an emulator’s; the deployment must list it.',
  }),
  user_project: z
    .string()
    .regex(/^[a-z0-9:.-]{1,100}$/)
    .optional()
    .meta({ description: 'The project that is billed, for buckets where the requester pays.' }),
  impersonate: z.string().regex(ACCOUNT).optional().meta({
    description: 'The address of a service account whose place is taken, for whoever may create tokens for it.',
  }),
  iam_endpoint: url.optional().meta({ description: 'Where its tokens are asked for; absent: Google’s own.' }),
};

/** The key file of a service account, as Google's console gives it out. */
const ServiceAccount = z.strictObject({
  type: z.literal('service_account'),
  project_id: text,
  private_key_id: text.optional(),
  private_key: z
    .string()
    .max(16_384)
    .transform(repairPem)
    .refine(isPrivateKey, { message: 'must be a private key in PEM, with its lines kept apart' })
    .meta({ description: 'The private key, in PEM.', writeOnly: true }),
  client_email: z.string().regex(ACCOUNT),
  client_id: text.optional(),
  auth_uri: text.optional(),
  token_uri: url.default('https://oauth2.googleapis.com/token'),
  auth_provider_x509_cert_url: text.optional(),
  client_x509_cert_url: text.optional(),
  ...more,
});

/**
 * Workload identity federation: a token that another party gave to this machine is exchanged for Google's.
 * https://google.aip.dev/auth/4117. Only tokens in a file or at a URL; a program is not started for them.
 */
const ExternalAccount = z.strictObject({
  type: z.literal('external_account'),
  audience: text,
  subject_token_type: text,
  token_url: url.default('https://sts.googleapis.com/v1/token'),
  token_info_url: text.optional(),
  service_account_impersonation_url: url.optional(),
  service_account_impersonation: z.looseObject({}).optional(),
  credential_source: z.strictObject({
    file: text.optional(),
    url: url.optional(),
    headers: z.record(z.string(), z.string()).optional(),
    format: z.looseObject({}).optional(),
  }),
  quota_project_id: text.optional(),
  workforce_pool_user_project: text.optional(),
  ...more,
});

/** What the machine is: Application Default Credentials. */
const Ambient = z.strictObject({ type: z.literal('ambient'), project_id: text.optional(), ...more });

/** The fields of a credential as people write them down. */
export const GcsFields = z.discriminatedUnion('type', [ServiceAccount, ExternalAccount, Ambient]);

export type ServiceAccountKey = z.infer<typeof ServiceAccount>;
export type ExternalAccountConfig = z.infer<typeof ExternalAccount>;
export type GcsCredential = z.infer<typeof GcsFields>;

export function parseCredential(payload: unknown): GcsCredential {
  return parseFields(GcsFields, payload, 'invalid_credential', 'gcs credential') as GcsCredential;
}

/** Where the credential's universe takes requests. */
export function storageOriginOf({ universe_domain, endpoint }: GcsCredential): string {
  return endpoint ?? `https://storage.${universe_domain}`;
}

export function isDefaultUniverse({ universe_domain }: GcsCredential): boolean {
  return universe_domain === DEFAULT_UNIVERSE;
}

/** Keys that went through environment variables and forms have their line breaks as `\n` in two characters, or as spaces. */
function repairPem(pem: string): string {
  const [, label, body] = /-----BEGIN ([A-Z ]+)-----([\s\S]+?)-----END \1-----/.exec(pem.replaceAll('\\n', '\n')) ?? [];
  if (!label || !body) return pem;
  const lines = body.replace(/\s+/g, '').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

function isOrigin(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) && !new URL(url).username;
}
