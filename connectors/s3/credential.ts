import { z } from 'zod';
import { parseFields } from '../../src/contract/fields.ts';

/** Printable ASCII without spaces: anything else would break a header, and an error about that quotes the header. */
const token = z.string().regex(/^[\x21-\x7e]{1,4096}$/);

const origin = z
  .string()
  .refine(isOrigin, { message: 'must be a URL such as https://minio.example.com:9000, without path or user' });

/** The fields of a credential as people write them down. */
export const S3Fields = z.strictObject({
  access_key_id: token.optional(),
  secret_access_key: token.optional(),
  session_token: token.optional(),
  /**
   * Instead of keys. `ambient`: the SDK's default provider chain (environment, profile, container, instance profile).
   * `web_identity`: a token file, as EKS mounts it. `anonymous`: requests are not signed, for public buckets.
   */
  auth: z.enum(['ambient', 'web_identity', 'anonymous']).optional(),
  /** Absent: found by asking for the bucket. */
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/)
    .optional(),
  /** For MinIO, R2, Ceph and the like; absent: Amazon's own. */
  endpoint: origin.optional(),
  /** A role to assume with the keys; what it may do is what counts then. */
  role_arn: z
    .string()
    .regex(/^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]{1,500}$/)
    .optional(),
  /** What the role's trust policy asks for, so that nobody else can have us assume it. */
  external_id: z
    .string()
    .regex(/^[\w+=,.@:/-]{2,1224}$/)
    .optional(),
  session_name: z
    .string()
    .regex(/^[\w+=,.@-]{2,64}$/)
    .default('lockgate'),
  /** Where the role is assumed; absent: Amazon's own, in the region. */
  sts_endpoint: origin.optional(),
  /** Whether the bucket's requester pays, and that is us. */
  requester_pays: z.boolean().optional(),
  /** The key that the objects are encrypted with (SSE-C): 256 bits in base64. */
  sse_customer_key: z
    .string()
    .refine((text) => /^[A-Za-z0-9+/]{43}=$/.test(text), { message: 'must be 32 bytes in base64' })
    .optional(),
  /** Whether the bucket stands in the path and not in the host name. Default: true with an endpoint. */
  force_path_style: z.boolean().optional(),
  /** Amazon's transfer acceleration, for buckets that have it. */
  use_accelerate: z.boolean().optional(),
  /** Amazon's endpoints with IPv6. */
  use_dualstack: z.boolean().optional(),
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
