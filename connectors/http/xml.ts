const SLASH = 47;
const GREATER = 62;

/** Whether a closing tag stands here. */
export function isClosing(text: string, at: number): boolean {
  return text.charCodeAt(at + 1) === SLASH;
}

/** Elements without attributes, of which the text is read. */
export class TextFields {
  readonly #fields: readonly { readonly open: string; readonly close: string }[];
  /** By the first character of the name: which of the fields. */
  readonly #byFirst: number[][] = [];

  constructor(names: readonly string[]) {
    this.#fields = names.map((name) => ({ open: `<${name}>`, close: `</${name}>` }));
    for (const [field, name] of names.entries()) {
      const first = name.charCodeAt(0);
      this.#byFirst[first] = [...(this.#byFirst[first] ?? []), field];
    }
  }

  /** Reads the field that begins here into `texts`. Returns where it ends; 0: none begins here; -1: it has something unknown. */
  read(text: string, at: number, texts: (string | undefined)[]): number {
    const candidates = this.#byFirst[text.charCodeAt(at + 1)];
    if (candidates === undefined) return 0;
    for (const field of candidates) {
      const { open, close } = this.#fields[field] as { open: string; close: string };
      if (!text.startsWith(open, at)) continue;
      const end = text.indexOf('<', at + open.length);
      if (end < 0 || texts[field] !== undefined || !text.startsWith(close, end)) return -1;
      const value = resolved(text, at + open.length, end);
      if (value === null) return -1;
      texts[field] = value;
      return end + close.length;
    }
    return 0;
  }
}

/** What is read of a kind of page: other elements are passed over, with all that is in them. */
export interface Known {
  /** Elements without attributes, of which the text is read. */
  readonly read: ReadonlySet<string>;
  /** Elements that have what is read in them, and so cannot be passed over. */
  readonly holding: ReadonlySet<string>;
}

/** A text in an element, and what stands before it since the text before. */
interface Slot {
  readonly before: string;
  /** Which of the fields it is; -1: none. */
  readonly field: number;
}

/**
 * The form of one element that was read: of thousands on a page, the next has the same tags as a rule, and then need not be taken apart anew. Texts
 * that nobody reads and that are the same in all of them are part of the form, until one is not.
 */
export class Form {
  /** Of the element that was read last; undefined: this form has no such field. */
  readonly texts: (string | undefined)[];
  readonly #leaves: readonly (Slot & { readonly text: string })[];
  readonly #last: string;
  readonly #varies: boolean[];
  #slots: readonly Slot[] = [];
  #end = '';

  /** `element` is all of it, and is known to be well formed. `steady`: the names of fields of which the text is mostly the same. */
  constructor(element: string, names: readonly string[], steady: readonly string[]) {
    let from = 0;
    this.texts = names.map(() => undefined);
    this.#leaves = [...element.matchAll(/<([\w.-]+)>([^<]*)<\/\1>/g)].map((leaf) => {
      const [, name = '', text = ''] = leaf;
      const at = leaf.index + name.length + 2;
      const before = element.slice(from, at);
      from = at + text.length;
      return { before, field: names.indexOf(name), text };
    });
    this.#last = element.slice(from);
    const isSteady = ({ field, text }: { field: number; text: string }) =>
      field < 0 || (steady.includes(names[field] as string) && isPlain(text));
    this.#varies = this.#leaves.map((leaf) => !isSteady(leaf));
    this.#join();
  }

  /**
   * Reads the element at `at`, if it has this form. Returns where it ends; 0: it has another, or something unknown. `plain`: nothing in the text
   * stands for something else.
   */
  read(text: string, at: number, plain: boolean): number {
    return read(this.#slots, this.#end, text, at, plain, this.texts) || this.#readLeaves(text, at, plain);
  }

  /** Every text may be another one; of those that are, it is remembered. */
  #readLeaves(text: string, at: number, plain: boolean): number {
    const all: string[] = [];
    const leaves = this.#leaves.map(({ before }, field) => ({ before, field }));
    const end = read(leaves, this.#last, text, at, plain, all);
    if (end === 0) return 0;
    for (const [i, { field, text: usual }] of this.#leaves.entries()) {
      if (field >= 0) this.texts[field] = all[i];
      if (all[i] !== usual) this.#varies[i] = true;
    }
    this.#join();
    return end;
  }

  #join(): void {
    const slots: Slot[] = [];
    let before = '';
    for (const [i, leaf] of this.#leaves.entries()) {
      before += leaf.before;
      if (this.#varies[i]) {
        slots.push({ before: flat(before), field: leaf.field });
        before = '';
      } else {
        before += leaf.text;
        if (leaf.field >= 0) this.texts[leaf.field] = leaf.text;
      }
    }
    this.#slots = slots;
    this.#end = flat(before + this.#last);
  }
}

function read(
  slots: readonly Slot[],
  last: string,
  text: string,
  at: number,
  plain: boolean,
  texts: (string | undefined)[],
): number {
  let place = at;
  for (const { before, field } of slots) {
    if (!standsAt(text, before, place)) return 0;
    place += before.length;
    const end = text.indexOf('<', place);
    if (end < 0) return 0;
    if (field >= 0) {
      const value = plain ? text.slice(place, end) : resolved(text, place, end);
      if (value === null) return 0;
      texts[field] = value;
    }
    place = end;
  }
  return standsAt(text, last, place) ? place + last.length : 0;
}

/** In one piece of memory: V8 keeps what was put together in pieces until somebody looks at it, and what was cut out of another text within that. */
function flat(text: string): string {
  return Buffer.from(text).toString();
}

/** Whether nothing in a text stands for something else. */
export function isPlain(text: string): boolean {
  return !text.includes('&') && !text.includes('\r');
}

/** Of hundreds of characters `startsWith` looks at one after the other, this at many at once. */
function standsAt(text: string, word: string, at: number): boolean {
  return text.slice(at, at + word.length) === word;
}

/** The element at `at`; its text if it is one of those that are read. Null: it has something unknown. */
export function elementAt(text: string, at: number, { read, holding }: Known) {
  const close = text.indexOf('>', at);
  if (close < 0) return null;
  const empty = text.charCodeAt(close - 1) === SLASH;
  const tag = text.slice(at + 1, empty ? close - 1 : close);
  const name = empty ? tag.trimEnd() : tag;
  if (read.has(name)) {
    if (empty) return { name, value: '', end: close + 1 };
    const end = text.indexOf('<', close);
    if (end < 0 || !text.startsWith(name, end + 2) || text.charCodeAt(end + 1) !== SLASH) return null;
    if (text.charCodeAt(end + 2 + name.length) !== GREATER) return null;
    const value = resolved(text, close + 1, end);
    return value === null ? null : { name, value, end: end + 3 + name.length };
  }
  const bare = /^[A-Za-z][\w.-]*/.exec(name)?.[0];
  if (!bare || holding.has(bare) || read.has(bare)) return null;
  if (empty) return { name: bare, value: undefined, end: close + 1 };
  const end = text.indexOf(`</${bare}>`, close);
  if (end < 0) return null;
  const inside = text.slice(close + 1, end);
  if (inside.includes(`<${bare}`) || inside.includes('<!')) return null;
  return { name: bare, value: undefined, end: end + bare.length + 3 };
}

/** A whole number without a sign, as far as numbers are exact; -1: it is none. */
export function wholeNumber(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

const ENTITIES: ReadonlyMap<string, string> = new Map(
  Object.entries({ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }),
);

/** The text from one place to another with its entities resolved; null: it has something unknown. */
function resolved(text: string, from: number, to: number): string | null {
  // An ETag in its quotes, as S3 writes it.
  if (text.startsWith('&quot;', from) && text.indexOf('&', from + 6) === to - 6 && text.startsWith('&quot;', to - 6)) {
    return `"${text.slice(from + 6, to - 6)}"`;
  }
  const value = text.slice(from, to);
  if (value.includes('\r')) return null;
  return value.includes('&') ? resolvedAll(value) : value;
}

function resolvedAll(text: string): string | null {
  let good = true;
  const plain = text.replace(/&([^;&]{0,10});?/g, (whole, word: string) => {
    const named = ENTITIES.get(word);
    if (named !== undefined && whole.endsWith(';')) return named;
    const number = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(word);
    const code = number ? Number.parseInt(number[1] ?? number[2] ?? '', number[1] ? 16 : 10) : -1;
    if (!whole.endsWith(';') || code <= 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) good = false;
    return good ? String.fromCodePoint(code) : '';
  });
  return good ? plain : null;
}
