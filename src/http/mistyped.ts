/** Beginnings of keys and tokens of the clouds, secret managers and ours. */
const KNOWN = /^(AKIA|ASIA|AIza|ya29\.|hv[sb]\.|s\.|lgt_|gh[pousr]_|eyJ|xox[abp]-|sk-)/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MIN_CHARACTERS = 12;
const MAX_DEPTH = 8;
const MASK = '(what was given)';

/** Whether a text looks like a credential that slipped into another field's place. */
export function looksSecret(text: string): boolean {
  if (text.includes('-----BEGIN') || /[?&]sig=|(^|[;&])AccountKey=/i.test(text)) return true;
  if (text.length < MIN_CHARACTERS || /[\s*]|:\/\//.test(text) || UUID.test(text)) return false;
  if (KNOWN.test(text)) return true;
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/, /[+/=~]/].filter((kind) => kind.test(text));
  return kinds.length >= 3 && /[0-9A-Z]/.test(text) && text.length >= 16;
}

/** An answer about a request, without what looks like a credential in that request: its sender would find it in a log. */
export function withoutMistyped(answer: string, ...given: readonly unknown[]): string {
  let result = answer;
  for (const text of given.flatMap((each) => [...textsIn(each, 0)])) {
    if (!looksSecret(text)) continue;
    for (const form of [text, JSON.stringify(text).slice(1, -1)]) result = result.replaceAll(form, MASK);
  }
  return result;
}

function* textsIn(value: unknown, depth: number): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null && depth < MAX_DEPTH) {
    for (const [name, each] of Object.entries(value)) {
      yield name;
      yield* textsIn(each, depth + 1);
    }
  }
}
