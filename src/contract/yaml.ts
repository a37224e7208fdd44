import { createRequire } from 'node:module';

/** The parser has seventy modules, and most commands read no YAML. */
const load = () => createRequire(import.meta.url)('yaml') as typeof import('yaml');

/** Reads YAML, of which JSON is a part. Throws the parser's own error, which quotes the text. */
export function parseYaml(text: string): unknown {
  return load().parse(text);
}
