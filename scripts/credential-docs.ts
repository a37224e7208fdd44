import { writeFile } from 'node:fs/promises';
import { describeCredential } from '../connectors/index.ts';
import { CONNECTOR_TYPES, type ConnectorType } from '../src/contract/connector.ts';

const NAMES: Readonly<Record<ConnectorType, string>> = {
  s3: 'S3',
  gcs: 'Google Cloud Storage',
  azure: 'Azure Blob Storage',
  sharepoint: 'SharePoint',
};

const HEAD = `# Credentials, field by field

Made from the connectors' own schemas by \`node scripts/credential-docs.ts\`. The JSON Schema of one:
\`lockgate secrets schema --type s3 --json\`. Fields marked ● are secret. Which of them belong together, and the least
rights that each needs, is in the connector's own page.
`;

/** The page about all fields of all credentials. */
export async function credentialDocs(): Promise<string> {
  const parts = [HEAD];
  for (const type of CONNECTOR_TYPES) {
    const rows = (await describeCredential(type)).map(({ name, secret, values, description }) => {
      const choice = values ? `${values.map((value) => `\`${value}\``).join(', ')}. ` : '';
      return `| \`${name}\` | ${secret ? '●' : ''} | ${choice}${description} |`;
    });
    parts.push(
      `## ${NAMES[type]}\n\n[About ${type}](../connectors/${type}/README.md)\n\n| field | | |\n|---|---|---|\n${rows.join('\n')}\n`,
    );
  }
  return parts.join('\n');
}

if (import.meta.main) await writeFile(new URL('../docs/credentials.md', import.meta.url), await credentialDocs());
