import { constants, generateKeyPairSync, type KeyObject, privateDecrypt, publicEncrypt, randomUUID } from 'node:crypto';

export type KeyAction = 'getKey' | 'wrapKey' | 'unwrapKey';

interface Version {
  readonly id: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  enabled: boolean;
  /** Seconds since 1970. */
  expires: number | null;
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };

/** The RSA keys of a vault for tests: they have versions, are switched off, and expire. https://learn.microsoft.com/rest/api/keyvault/keys */
export class VaultKeys {
  /** The newest last. */
  readonly versions = new Map<string, Version[]>();

  rotate(name: string): Version {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const version = { id: randomUUID().replaceAll('-', ''), ...pair, enabled: true, expires: null };
    this.versions.set(name, [...(this.versions.get(name) ?? []), version]);
    return version;
  }

  answer(action: KeyAction, vault: string, name: string, id: string, body: Record<string, unknown>): Answer {
    const versions = this.versions.get(name) ?? [];
    const version = id ? versions.find((each) => each.id === id) : versions.at(-1);
    if (!version) return refusal(404, 'KeyNotFound');
    const kid = `${vault}/keys/${name}/${version.id}`;
    if (action === 'getKey') {
      const { n, e } = version.publicKey.export({ format: 'jwk' });
      const attributes = { enabled: version.enabled, ...(version.expires ? { exp: version.expires } : {}) };
      return { status: 200, body: { key: { kid, kty: 'RSA', key_ops: ['wrapKey', 'unwrapKey'], n, e }, attributes } };
    }
    // What has expired still opens.
    const isOver = action === 'wrapKey' && version.expires !== null && version.expires * 1000 < Date.now();
    if (!version.enabled || isOver) return refusal(403, 'Forbidden');
    if (body.alg !== 'RSA-OAEP-256') return refusal(400, 'BadParameter');
    const value = Buffer.from(String(body.value), 'base64url');
    try {
      const result =
        action === 'wrapKey'
          ? publicEncrypt({ key: version.publicKey, ...OAEP }, value)
          : privateDecrypt({ key: version.privateKey, ...OAEP }, value);
      return { status: 200, body: { kid, value: result.toString('base64url') } };
    } catch {
      return refusal(400, 'BadParameter');
    }
  }
}

function refusal(status: number, code: string): Answer {
  return { status, body: { error: { code, message: `refused: ${code}` } } };
}
