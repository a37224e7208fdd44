import { z } from 'zod';
import { type Endpoint, pathFields } from '../contract/api/endpoint.ts';
import { API } from '../contract/api/index.ts';
import { ErrorShape } from '../contract/api/shapes.ts';
import { VERSION } from '../version.ts';

type Schema = Record<string, unknown>;

/** Operations that stream, and so are not in the table. */
const STREAMS: Readonly<Record<string, { summary: string; tag: string; type: string; parameters: readonly string[] }>> =
  {
    '/v1/runs/{id}/events': {
      summary: 'Live events of a run (server-sent events)',
      tag: 'runs',
      type: 'text/event-stream',
      parameters: ['id'],
    },
    '/v1/collections/{collection}/changes/stream': {
      summary: 'The change feed as server-sent events; goes on from `after` or from the header Last-Event-ID',
      tag: 'changes',
      type: 'text/event-stream',
      parameters: ['collection'],
    },
    '/v1/documents/{id}/content': {
      summary: "A document's bytes; takes Range, If-None-Match and If-Range",
      tag: 'documents',
      type: 'application/octet-stream',
      parameters: ['id'],
    },
  };

/** The description of the interface, from the same schemas that check what comes in. https://spec.openapis.org/oas/v3.1.1 */
export function openApi(): Schema {
  const paths: Record<string, Record<string, Schema>> = {};
  const components: Record<string, Schema> = {};
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Schema => {
    const {
      $defs,
      $schema: _,
      ...own
    } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Schema & {
      $defs?: Record<string, Schema>;
    };
    const named = (name: string) => (io === 'input' ? `${name}Input` : name);
    for (const [name, definition] of Object.entries($defs ?? {})) components[named(name)] = moved(definition, named);
    return moved(own, named);
  };
  const error = { description: 'What went wrong', content: json(schemaOf(ErrorShape, 'output')) };
  for (const [name, endpoint] of Object.entries(API) as [string, Endpoint][]) {
    const { method, path, summary, needs, input, answer } = endpoint;
    paths[path] ??= {};
    paths[path][method.toLowerCase()] = {
      operationId: name,
      summary,
      description: `Needs the permission \`${needs}\`.`,
      tags: [name.split('.')[0]],
      ...inputOf(endpoint, schemaOf(input, 'input')),
      responses: {
        200: { description: 'Done', content: json(schemaOf(answer, 'output')) },
        default: error,
      },
    };
  }
  for (const [path, { summary, tag, type, parameters }] of Object.entries(STREAMS)) {
    paths[path] = {
      get: {
        operationId: `${tag}.stream`,
        summary,
        tags: [tag],
        parameters: parameters.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
        responses: { 200: { description: 'The stream', content: { [type]: {} } }, default: error },
      },
    };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Lockgate',
      version: VERSION,
      description: 'Documents out of cloud storage; the keys stay in the secret manager.',
    },
    security: [{ token: [] }],
    paths,
    components: {
      schemas: components,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API token, or a JWT of the OIDC issuer.' },
      },
    },
  };
}

function inputOf({ method, path }: Endpoint, schema: Schema): Schema {
  const inPath = pathFields(path);
  const { properties = {}, required = [] } = schema as { properties?: Record<string, Schema>; required?: string[] };
  const rest = Object.entries(properties).filter(([name]) => !inPath.includes(name));
  const parameters: Schema[] = [
    ...inPath.map((name) => ({ name, in: 'path', required: true, schema: properties[name] ?? { type: 'string' } })),
    { name: 'Lockgate-Workspace', in: 'header', required: false, schema: { type: 'string' } },
  ];
  if (method === 'GET' || method === 'DELETE') {
    for (const [name, each] of rest)
      parameters.push({ name, in: 'query', required: required.includes(name), schema: each });
    return { parameters };
  }
  if (rest.length === 0) return { parameters };
  const body = {
    ...schema,
    properties: Object.fromEntries(rest),
    required: required.filter((name) => !inPath.includes(name)),
  };
  return { parameters, requestBody: { required: true, content: json(body) } };
}

function json(schema: Schema): Schema {
  return { 'application/json': { schema } };
}

/** References point to where OpenAPI keeps what has a name. */
function moved<T>(value: T, named: (name: string) => string): T {
  if (Array.isArray(value)) return value.map((each) => moved(each, named)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      key === '$ref'
        ? String(each).replace(/^#\/\$defs\/(.*)$/, (_, name) => `#/components/schemas/${named(name)}`)
        : moved(each, named),
    ]),
  ) as T;
}
