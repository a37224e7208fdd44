import { readFile } from 'node:fs/promises';
import { CredentialNotFoundError, CredentialUnusableError, SecretAccessDeniedError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import type { SecretReader } from '../../contract/secret-manager.ts';
import { variableHint } from './directory.ts';
import type { EnvSecret } from './names.ts';

/** The reading half of the `env` secret manager. A mounted file is read anew at each access. */
export function openEnvReader(secrets: readonly EnvSecret[]): SecretReader {
  return {
    access: async (ref) => {
      const secret = secrets.find((each) => each.id === ref.secretId);
      if (ref.foreign) throw new CredentialNotFoundError(ref.secretId);
      if (!secret || (ref.version !== undefined && ref.version !== '1')) {
        throw new CredentialNotFoundError(ref.secretId, variableHint(ref.secretId));
      }
      if (!secret.connectorType) {
        const type = `${secret.variable.replace(/_FILE$/, '')}_TYPE`;
        throw new CredentialUnusableError(
          'credential_wrong_type',
          `${type} is missing or is no connector type.`,
          `Set ${type}, for example to s3.`,
        );
      }
      const value = parse(await textOf(secret), secret.variable);
      return { ref: { ...ref, version: '1' }, connectorType: secret.connectorType, value, scope: secret.scope };
    },
  };
}

async function textOf({ value, variable }: EnvSecret): Promise<Secret<string>> {
  if (value.kind === 'json') return value.json;
  try {
    return new Secret(await readFile(value.path, 'utf8'));
  } catch {
    throw new SecretAccessDeniedError(
      `The file that ${variable} names cannot be read.`,
      'Check the mount and its mode.',
    );
  }
}

function parse(text: Secret<string>, variable: string): Secret<unknown> {
  return text.map((json) => {
    try {
      return JSON.parse(json) as unknown;
    } catch {
      // Not the parser's own message: it quotes the text.
      throw new CredentialUnusableError(
        'credential_malformed',
        `${variable} does not hold JSON.`,
        'It must be one JSON object.',
      );
    }
  });
}
