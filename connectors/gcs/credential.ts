import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { parseFields } from '../../src/contract/fields.ts';

const text = z.string().min(1).max(4096);
const DEFAULT_UNIVERSE = 'googleapis.com';

/** The key file of a service account, as Google's console gives it out. */
const ServiceAccount = z.strictObject({
  type: z.literal('service_account'),
  project_id: text,
  private_key_id: text.optional(),
  private_key: z
    .string()
    .max(16_384)
    .transform(repairPem)
    .refine(isPrivateKey, { message: 'must be a private key in PEM, with its lines kept apart' }),
  client_email: z.string().regex(/^[^\s@]{1,200}@[a-z0-9.-]{1,200}$/),
  client_id: text.optional(),
  auth_uri: text.optional(),
  token_uri: z.string().refine(isOrigin, { message: 'must be a URL' }).default('https://oauth2.googleapis.com/token'),
  auth_provider_x509_cert_url: text.optional(),
  client_x509_cert_url: text.optional(),
  universe_domain: z
    .string()
    .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/)
    .default(DEFAULT_UNIVERSE),
  /** Ours: another endpoint than the universe's own, such as an emulator's. */
  endpoint: z.string().refine(isOrigin, { message: 'must be a URL' }).optional(),
  /** Ours: the project that is billed, for buckets where the requester pays. */
  user_project: z
    .string()
    .regex(/^[a-z0-9:.-]{1,100}$/)
    .optional(),
});

export type GcsCredential = z.infer<typeof ServiceAccount>;

export function parseCredential(payload: unknown): GcsCredential {
  return parseFields(ServiceAccount, payload, 'invalid_credential', 'gcs credential') as GcsCredential;
}

/** Where the credential's universe takes requests, and where it gives out tokens. */
export function originsOf({ universe_domain, endpoint }: GcsCredential): {
  storage: string;
  tokens: readonly string[];
} {
  return {
    storage: endpoint ?? `https://storage.${universe_domain}`,
    tokens: [`https://oauth2.${universe_domain}`, 'https://accounts.google.com'],
  };
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
