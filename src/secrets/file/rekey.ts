import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as age from 'age-encryption';
import { CredentialUnusableError } from '../../contract/errors.ts';
import { Secret } from '../../contract/secret.ts';
import { seal } from './directory.ts';
import { type KeyFiles, publish, readIdentities, writeIdentities } from './keys.ts';
import { type Labels, missingAsEmpty, readVersion, replaceVersion, versionFile, versionsIn } from './layout.ts';
import { openSealed } from './reader.ts';

/** Longer than a process that read the old recipient takes to write what it sealed. */
const SETTLE_MS = 2000;

export interface Rekeyed {
  readonly resealed: number;
  readonly resumed: boolean;
}

/**
 * Changes the identity: a new one is made, every version is sealed to it, and the old one is dropped. At every instant both
 * what is sealed already and what is not can be opened, and a change that was cut off is finished by calling this again.
 */
export async function rekey(folder: string, keys: KeyFiles, onProgress: (resealed: number) => void): Promise<Rekeyed> {
  const known = await readIdentities(keys);
  const resumed = known.map((all) => all.length > 1).reveal();
  if (!resumed) {
    const next = await age.generateIdentity();
    await writeIdentities(
      keys.identityFile,
      known.map((all) => [next, ...all]),
    );
  }
  const all = await readIdentities(keys);
  const current = all.map((identities) => identities.slice(0, 1));
  const recipient = await publish(keys, current.reveal()[0] ?? '');
  let resealed = 0;
  for (let quiet = false; ; ) {
    const some = await pass(folder, recipient, current, all, () => onProgress(++resealed));
    if (some > 0) quiet = false;
    else if (quiet) break;
    else {
      quiet = true;
      await sleep(SETTLE_MS);
    }
  }
  await writeIdentities(keys.identityFile, current);
  return { resealed, resumed };
}

/** Returns how many versions still were sealed to an older identity. */
async function pass(
  folder: string,
  recipient: string,
  current: Secret<readonly string[]>,
  all: Secret<readonly string[]>,
  onResealed: () => void,
): Promise<number> {
  let count = 0;
  for (const workspace of await readdir(folder).catch(missingAsEmpty)) {
    for (const secret of await readdir(join(folder, workspace)).catch(missingAsEmpty)) {
      const own = join(folder, workspace, secret);
      for (const version of await versionsIn(own)) {
        const { labels, sealed } = await readVersion(versionFile(own, version));
        if (await openSealed(current, sealed)) continue;
        const opened = await openSealed(all, sealed);
        if (!opened) throw unopened(labels);
        // What is sealed again is what was sealed, not what stands beside it.
        await replaceVersion(
          own,
          labels,
          await seal(recipient, opened.labels as Labels, new Secret(opened.credential)),
        );
        count++;
        onResealed();
      }
    }
  }
  return count;
}

function unopened({ id, version }: Labels): CredentialUnusableError {
  return new CredentialUnusableError(
    'credential_tampered',
    `Version ${version} of "${id}" cannot be opened by any identity here.`,
    'Restore it, or remove the secret; then change the identity again, which goes on where it was.',
  );
}
