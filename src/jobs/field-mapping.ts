import { CredentialUnusableError } from '../contract/errors.ts';
import type { Secret } from '../contract/secret.ts';
import type { SecretRef } from '../contract/secret-manager.ts';

/** Renames the fields of a secret that another tool made; a map from our names to its names. What is not named is left out. */
export function mapFields(
  value: Secret<unknown>,
  fields: Readonly<Record<string, string>>,
  ref: SecretRef,
): Secret<unknown> {
  return value.map((given) => {
    if (typeof given !== 'object' || given === null) throw unusable(ref, 'has no fields that could be mapped');
    const from = given as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries(fields).map(([ours, theirs]) => {
        if (!Object.hasOwn(from, theirs)) throw unusable(ref, `has no field that the mapping of ${ours} names`);
        return [ours, from[theirs]];
      }),
    );
  });
}

function unusable({ secretId }: SecretRef, why: string): CredentialUnusableError {
  return new CredentialUnusableError(
    'credential_malformed',
    `"${secretId}" ${why}.`,
    'Correct the mapping or the secret.',
  );
}
