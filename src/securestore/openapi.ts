import { z } from 'zod';
import { Addition, Labels, Reveal } from './operations.ts';

const schemaOf = (schema: z.ZodType) => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
const SECRET = '/v1/workspaces/{workspace}/secrets/{secret}';

interface Route {
  readonly summary: string;
  readonly body?: object;
  readonly query?: readonly string[];
  readonly headers?: readonly string[];
  readonly status?: string;
}

const ROUTES: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  '/v1/workspaces/{workspace}/secrets': {
    get: { summary: 'List secrets, without values', query: ['type', 'pageSize', 'pageToken'] },
  },
  [SECRET]: {
    get: { summary: 'A secret with its versions, without values' },
    patch: {
      summary: 'Replace the labels',
      body: schemaOf(z.strictObject({ labels: Labels })),
      headers: ['if-match'],
    },
    delete: { summary: 'Delete; it goes for good after the time of grace' },
  },
  [`${SECRET}/undelete`]: { post: { summary: 'Bring back what is deleted and not yet gone' } },
  [`${SECRET}/versions`]: {
    post: {
      summary: 'Add a version, and the secret with its first',
      body: schemaOf(Addition),
      headers: ['idempotency-key'],
      status: '201',
    },
  },
  [`${SECRET}/versions/{version}/reveal`]: {
    post: { summary: 'Reveal a value; the version may be "latest"', body: schemaOf(Reveal) },
  },
  [`${SECRET}/versions/{version}/disable`]: { post: { summary: 'Reveal a version no more, for now' } },
  [`${SECRET}/versions/{version}/enable`]: { post: { summary: 'Reveal a disabled version again' } },
  [`${SECRET}/versions/{version}/destroy`]: { post: { summary: 'Destroy the value of a version for good' } },
  '/v1/tokens': {
    get: { summary: 'List tokens, without what proves them' },
    post: { summary: 'Create a token; it is shown once' },
  },
  '/v1/tokens/{id}': { delete: { summary: 'Revoke a token' } },
  '/v1/audit': { get: { summary: 'The audit log as JSON lines', query: ['after', 'limit'] } },
  '/v1/audit/verify': { get: { summary: 'Check that the audit log is as it was written' } },
};

/** What the server takes, as OpenAPI 3.1. */
export function openApi(version: string): object {
  const paths = Object.fromEntries(
    Object.entries(ROUTES).map(([path, methods]) => [
      path,
      Object.fromEntries(Object.entries(methods).map(([method, route]) => [method, operationOf(path, route)])),
    ]),
  );
  return {
    openapi: '3.1.0',
    info: { title: 'Lockgate SecureStore', version },
    paths,
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' }, certificate: { type: 'mutualTLS' } } },
    security: [{ token: [] }, { certificate: [] }],
  };
}

function operationOf(path: string, { summary, body, query = [], headers = [], status = '200' }: Route): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((found) => found[1] as string);
  const parameter = (where: string, required: boolean) => (name: string) => ({
    name,
    in: where,
    required,
    schema: { type: 'string' },
  });
  return {
    summary,
    parameters: [
      ...inPath.map(parameter('path', true)),
      ...query.map(parameter('query', false)),
      ...headers.map(parameter('header', false)),
    ],
    ...(body ? { requestBody: { required: true, content: { 'application/json': { schema: body } } } } : {}),
    responses: {
      [status]: { description: 'Done' },
      default: { description: '{"error": {"code", "message", "hint"}}' },
    },
  };
}
