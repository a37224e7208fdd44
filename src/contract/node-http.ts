/**
 * Node's own client for the protocol of a URL. Not by `import`, which reads every property of `node:http` and loads what is behind `fetch` with it: an
 * eighth of a command's start.
 */
export function nodeHttp(protocol: 'http:' | 'https:' | (string & {})): Pick<typeof import('node:http'), 'request'> & {
  readonly Agent: typeof import('node:http').Agent;
} {
  return process.getBuiltinModule(protocol === 'https:' ? 'node:https' : 'node:http') as typeof import('node:http');
}
