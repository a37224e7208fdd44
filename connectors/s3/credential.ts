import { z } from 'zod';
import { parseFields } from '../../src/contract/fields.ts';

/** Printable ASCII without spaces: anything else would break a header, and an error about that quotes the header. */
const token = z.string().regex(/^[\x21-\x7e]{1,4096}$/);

const origin = z
  .string()
  .refine(isOrigin, { message: 'must be a URL such as https://minio.example.com:9000, without path or user' });

/** The fields of a credential as people write them down. */
export const S3Fields = z.strictObject({
  access_key_id: token.optional().meta({ description: 'The access key. Without `auth` it is required.' }),
  secret_access_key: token
    .optional()
    .meta({ description: 'Its secret. Without `auth` it is required.', writeOnly: true }),
  session_token: token.optional().meta({ description: 'The token of temporary keys.', writeOnly: true }),
  expires_at: z.iso
    .datetime({ offset: true })
    .optional()
    .meta({ description: 'When temporary keys end, to be shown; such as the `Expiration` that STS tells.' }),
  auth: z.enum(['ambient', 'web_identity', 'anonymous']).optional().meta({
    description:
      'Instead of keys. `ambient`: the default provider chain of the machine (environment, profile, container, instance profile). `web_identity`: a token file, as EKS mounts it. Both only where the deployment lends them out. `anonymous`: unsigned, for public buckets.',
  }),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/)
    .optional()
    .meta({ description: 'The region. Absent: found by asking for the bucket.' }),
  endpoint: origin
    .optional()
    .meta({ description: 'An origin such as `https://minio.example.com:9000`. Absent: Amazon’s own.' }),
  role_arn: z
    .string()
    .regex(/^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]{1,500}$/)
    .optional()
    .meta({ description: 'A role to assume (STS); then what the role may do is what counts.' }),
  external_id: z
    .string()
    .regex(/^[\w+=,.@:/-]{2,1224}$/)
    .optional()
    .meta({ description: 'What the role’s trust policy asks for, so that nobody else can have us assume it.' }),
  session_name: z
    .string()
    .regex(/^[\w+=,.@-]{2,64}$/)
    .default('lockgate')
    .meta({ description: 'The name of the role’s sessions in CloudTrail.' }),
  sts_endpoint: origin
    .optional()
    .meta({ description: 'Where the role is assumed. Absent: Amazon’s own, in the region.' }),
  iam_endpoint: origin.optional().meta({
    description:
      'Where a check asks what the credential may do. Absent: Amazon’s own; with another `endpoint`: nowhere.',
  }),
  requester_pays: z.boolean().optional().meta({ description: 'Whether the bucket’s requester pays, and that is us.' }),
  sse_customer_key: z
    .string()
    .refine((text) => /^[A-Za-z0-9+/]{43}=$/.test(text), { message: 'must be 32 bytes in base64' })
    .optional()
    .meta({ description: 'The key that the objects are encrypted with (SSE-C): 32 bytes in base64.', writeOnly: true }),
  force_path_style: z.boolean().optional().meta({
    description: 'Whether the bucket stands in the path and not in the host name. Default: true with an endpoint.',
  }),
  use_accelerate: z
    .boolean()
    .optional()
    .meta({ description: 'Amazon’s transfer acceleration, for buckets that have it.' }),
  use_dualstack: z.boolean().optional().meta({ description: 'Amazon’s endpoints with IPv6.' }),
});

const Credential = S3Fields.superRefine((fields, context) => {
  const complaint = complaintAbout(fields);
  if (complaint) context.addIssue({ code: 'custom', message: complaint });
});

function complaintAbout(fields: z.infer<typeof S3Fields>): string | null {
  const { auth, access_key_id, secret_access_key, session_token, role_arn, external_id } = fields;
  if (auth && (access_key_id || secret_access_key || session_token)) return 'give either auth or access_key_id';
  if (!auth && !access_key_id) return 'missing field access_key_id';
  if (!auth && !secret_access_key) return 'missing field secret_access_key';
  if (auth === 'anonymous' && role_arn) return 'who is anonymous cannot assume role_arn';
  if (external_id && !role_arn) return 'external_id needs role_arn';
  if (fields.endpoint && fields.use_accelerate) return 'use_accelerate is for Amazon’s own endpoint';
  if (fields.endpoint && fields.use_dualstack) return 'use_dualstack is for Amazon’s own endpoint';
  return null;
}

/** A key pair, perhaps to assume a role with, and what it takes to reach the service that it belongs to. */
export type S3Credential = z.infer<typeof S3Fields>;

export function parseCredential(payload: unknown): S3Credential {
  return parseFields(Credential, payload, 'invalid_credential', 's3 credential');
}

/** What every request about the objects says beside its name. */
export function requestOptionsOf({ requester_pays, sse_customer_key }: S3Credential) {
  return {
    payer: requester_pays ? { RequestPayer: 'requester' as const } : {},
    encryption: sse_customer_key ? { SSECustomerAlgorithm: 'AES256', SSECustomerKey: sse_customer_key } : {},
  };
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const bare = url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password;
  return bare && (url.protocol === 'https:' || url.protocol === 'http:');
}
