import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { credentialSchema, loadConnector } from '../connectors/index.ts';
import { cliDocs } from '../scripts/cli-docs.ts';
import { credentialDocs } from '../scripts/credential-docs.ts';
import { CONNECTOR_TYPES } from '../src/contract/connector.ts';

test('the page about credentials says what the connectors take', async () => {
  const page = await readFile(new URL('../docs/credentials.md', import.meta.url), 'utf8');
  expect(page, 'run: node scripts/credential-docs.ts').toBe(await credentialDocs());
});

test('every connector has a schema in which what is secret is marked, and takes nothing that it does not name', async () => {
  for (const type of CONNECTOR_TYPES) {
    const text = JSON.stringify(await credentialSchema(type));
    expect(text, type).toContain('"writeOnly":true');
    expect(text, type).toContain('"additionalProperties":false');
    const connector = await loadConnector(type);
    expect(connector.type).toBe(type);
    expect(() => connector.parseCredential({ surprise: 1 })).toThrow();
  }
});

test('the page about the command line says what the commands say', async () => {
  const page = await readFile(new URL('../docs/cli.md', import.meta.url), 'utf8');
  expect(page, 'run: node scripts/cli-docs.ts').toBe(await cliDocs());
});

test('every link between pages leads somewhere, and every page can be found', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const pages = [
    '.',
    'docs',
    'docs/decisions',
    ...readdirSync(join(root, 'connectors')).map((name) => `connectors/${name}`),
  ]
    .filter((folder) => existsSync(join(root, folder)) && !folder.endsWith('.ts'))
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(folder, name)))
    .filter((name) => name.endsWith('.md'));
  const linked = new Set(['README.md']);
  for (const page of pages) {
    const text = readFileSync(join(root, page), 'utf8').replace(/```[\s\S]*?```/g, '');
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      expect([page, target, existsSync(join(root, file))]).toEqual([page, target, true]);
      linked.add(file);
      if (anchor && file.endsWith('.md'))
        expect([page, target, anchorsOf(join(root, file)).has(anchor)]).toEqual([page, target, true]);
    }
  }
  const docs = pages.filter((page) => /^docs\/[^/]+\.md$/.test(page));
  expect(docs.filter((page) => !linked.has(page))).toEqual([]);
});

/** As GitHub makes them of titles. */
function anchorsOf(file: string): Set<string> {
  const titles = readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...titles].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
