import { Secret } from '../contract/secret.ts';
import type { AccessedSecret, AccessPurpose, SecretReader, SecretRef } from '../contract/secret-manager.ts';

/** An accessed secret as it goes from one thread of this process to another: `Secret` does not survive that. It goes nowhere else. */
export interface PassedSecret extends Omit<AccessedSecret, 'value'> {
  readonly value: unknown;
}

/** Reads for another thread. */
export function passing(reader: SecretReader): (ref: SecretRef, purpose: AccessPurpose) => Promise<PassedSecret> {
  return async (ref, purpose) => {
    const { value, ...about } = await reader.access(ref, purpose);
    return { ...about, value: value.reveal() };
  };
}

/** Has another thread read. */
export function passedReader(access: (ref: SecretRef, purpose: AccessPurpose) => Promise<PassedSecret>): SecretReader {
  return {
    access: async (ref, purpose) => {
      const { value, ...about } = await access(ref, purpose);
      return { ...about, value: new Secret(value) };
    },
  };
}
