import { z } from 'zod';
import { parseFields } from '../../src/contract/fields.ts';
import { complaintOf, type EntraApp, entraFields, isOrigin } from '../entra/credential.ts';

/** An application of Microsoft Entra ID; all that SharePoint takes. */
export const SharePointFields = z.strictObject({
  ...entraFields,
  auth: z
    .enum(['workload_identity', 'managed_identity'])
    .optional()
    .meta({ description: 'Without a secret: the identity of the machine, where the deployment allows it.' }),
  graph_endpoint: z
    .string()
    .refine(isOrigin, { message: 'must be an origin such as https://graph.example.com' })
    .optional()
    .meta({ description: "Another Microsoft Graph than the cloud's own; the deployment must list it." }),
});

type Fields = z.infer<typeof SharePointFields>;

const Credential = SharePointFields.superRefine((fields, context) => {
  const complaint = fields.auth ? complaintAboutAmbient(fields) : complaintOf(fields);
  if (complaint) context.addIssue({ code: 'custom', message: complaint });
});

export interface SharePointCredential extends EntraApp {
  readonly auth?: 'workload_identity' | 'managed_identity' | undefined;
  readonly graph_endpoint?: string | undefined;
}

export function parseCredential(payload: unknown): SharePointCredential {
  return parseFields(Credential, payload, 'invalid_credential', 'sharepoint credential') as SharePointCredential;
}

function complaintAboutAmbient({ client_secret, certificate, private_key }: Fields): string | null {
  return client_secret || certificate || private_key ? 'give either auth or client_secret or certificate' : null;
}
