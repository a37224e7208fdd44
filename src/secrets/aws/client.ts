import { type DescribeSecretResponse, SecretsManagerClient, type Tag } from '@aws-sdk/client-secrets-manager';
import { beginningOf, type NameRules, nameFor } from '../identifier.ts';
import { type Described, fromLabels } from '../labels.ts';
import { optionsOf } from './options.ts';
import type { AwsSettings } from './settings.ts';

/** AWS keeps "-" and six characters at the end of a name for itself; the hash has twelve. */
const RULES: NameRules = {
  template: '{prefix}/{workspace}/{id}-{hash}',
  refused: /[^A-Za-z0-9/_+=.@-]/g,
  maxLength: 255,
};

export function createClient(settings: AwsSettings): SecretsManagerClient {
  return new SecretsManagerClient(optionsOf(settings));
}

/** What the names of a workspace begin with. */
export function folderOf(settings: AwsSettings, workspace: string): string {
  return beginningOf(settings, RULES, workspace);
}

export function nameOf(settings: AwsSettings, workspace: string, id: string): string {
  return nameFor(settings, RULES, workspace, id);
}

/** What the tags say; null: the secret is not one that its name was made for. */
export function describedBy(
  { Tags }: Pick<DescribeSecretResponse, 'Tags'>,
  workspace: string,
  id: string,
): Described | null {
  const described = fromLabels(tagsOf(Tags), ':');
  return described?.id === id && described.workspace === workspace ? described : null;
}

export function tagsOf(tags: readonly Tag[] | undefined): Record<string, string> {
  return Object.fromEntries((tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value]));
}
