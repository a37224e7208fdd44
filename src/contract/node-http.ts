/**
 * Node's own client for the protocol of a URL. Not by `import`, which reads every property of `node:http` and loads what is behind `fetch` with it: an
 * eighth of a command's start.
 */
export function nodeHttp(protocol: string): Pick<typeof import('node:http'), 'Agent' | 'request'> {
  return process.getBuiltinModule(protocol === 'https:' ? 'node:https' : 'node:http') as typeof import('node:http');
}
