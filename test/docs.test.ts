import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { credentialSchema, loadConnector } from '../connectors/index.ts';
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
