/** Names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface Answer<B> {
  readonly headers: AnswerHeaders;
  readonly body: B;
}

/** A GET as it goes over the wire. */
export interface RawRequest {
  /** With its query. */
  readonly path: string;
  /** Name, value, name, value. */
  readonly headers: string[];
}
