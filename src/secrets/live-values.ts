import type { Secret } from '../contract/secret.ts';
import type { SecretReader } from '../contract/secret-manager.ts';

const MASK = '[secret]';
/** Shorter texts stand in too many places for other reasons. */
const MIN_CHARACTERS = 8;
const MAX_VALUES = 2000;
/** Fields that name places and identities; everything else of a credential is taken for secret. */
const PUBLIC_FIELDS = new Set([
  'type',
  'region',
  'endpoint',
  'cloud',
  'authority',
  'role_arn',
  'project_id',
  'client_email',
  'client_id',
  'tenant_id',
  'account_name',
  'auth_uri',
  'token_uri',
  'auth_provider_x509_cert_url',
  'client_x509_cert_url',
  'universe_domain',
  'certificate',
]);

/**
 * The secret values that this process has accessed, so that what it writes can be searched for them: as they are, in
 * base64, URL-encoded and escaped as in JSON. The last guard, behind `Secret` and the error rules.
 */
export class LiveValues {
  /** By the value, the oldest first. */
  readonly #forms = new Map<string, readonly string[]>();
  #pattern: RegExp | null = null;

  watch(value: Secret<unknown>): void {
    for (const text of textsOf(value.reveal(), '')) {
      // Once more, so that it is the youngest.
      const forms = this.#forms.get(text) ?? formsOf(text);
      this.#forms.delete(text);
      this.#forms.set(text, forms);
    }
    for (const oldest of this.#forms.keys()) {
      if (this.#forms.size <= MAX_VALUES) break;
      this.#forms.delete(oldest);
    }
    this.#pattern = null;
  }

  /** The text with every value replaced by `[secret]`. */
  scrub(text: string): string {
    if (this.#forms.size === 0) return text;
    // The longest first, so that no part of a value is left beside a mask.
    this.#pattern ??= new RegExp(
      [...new Set([...this.#forms.values()].flat())]
        .sort((a, b) => b.length - a.length)
        .map((form) => form.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        .join('|'),
      'g',
    );
    return text.replace(this.#pattern, MASK);
  }
}

/** Those of this process. */
export const liveValues = new LiveValues();

/** Has every value that is accessed watched. */
export function watchedReader(reader: SecretReader, live: LiveValues): SecretReader {
  return {
    access: async (ref, purpose) => {
      const accessed = await reader.access(ref, purpose);
      live.watch(accessed.value);
      return accessed;
    },
  };
}

function* textsOf(value: unknown, field: string): Generator<string> {
  if (typeof value === 'string') {
    if (PUBLIC_FIELDS.has(field) || value.length < MIN_CHARACTERS) return;
    yield value;
    // Of a key in PEM one line alone is too much; of a signed URL's query, its signature.
    for (const line of value.split(/\r?\n/)) if (line.length >= 32 && line !== value) yield line;
    const signature = /(?:^|[?&])sig=([^&]+)/.exec(value)?.[1];
    if (signature && signature.length >= MIN_CHARACTERS) yield signature;
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, each] of Object.entries(value)) yield* textsOf(each, name);
  }
}

function formsOf(text: string): string[] {
  const bytes = Buffer.from(text);
  const forms = [text, encodeURIComponent(text), JSON.stringify(text).slice(1, -1), bytes.toString('hex')];
  for (const offset of [0, 1, 2]) {
    // Inside a longer text a value looks different at each of three offsets, and its ends depend on the neighbours.
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    const inner = shifted.slice(offset === 0 ? 0 : 4, Math.floor(((offset + bytes.length) * 8) / 6) - 1);
    forms.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return [...new Set(forms)].filter((form) => form.length >= MIN_CHARACTERS);
}
