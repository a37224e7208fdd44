/** Names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** A GET as it goes over the wire. */
export interface RawRequest {
  /** With its query. */
  readonly path: string;
  /** Name, value, name, value. */
  readonly headers: string[];
  /** All of it, where it was put together by somebody who made sure that it is one request. */
  readonly text?: string;
}

/** A request, put together, and what is to become of its answer. */
export interface Asked {
  readonly request: RawRequest;
  readonly text: string;
  readonly receiver: Receiver;
  readonly signal: AbortSignal;
}

export interface Head {
  readonly status: number;
  readonly headers: AnswerHeaders;
}

/** What can be done about an answer while it comes. */
export interface Flow {
  /** After `filled` or `take` has said that it was enough. */
  resume(): void;
  /** Nobody wants the rest. */
  stop(reason: unknown): void;
}

/** Takes one answer in, from whatever brings it: `begin` once, then its bytes, then `end`; or `fail` at any time. */
export interface Receiver {
  begin(head: Head, flow: Flow): void;
  /** Where the next bytes of the body may be put at once; null: they are handed over. */
  room(): Buffer | null;
  /** So many bytes were put there. False: no more for now. */
  filled(bytes: number): boolean;
  /** Bytes of the body. `isLent`: they are there for this call only. False: no more for now. */
  take(bytes: Buffer, isLent: boolean): boolean;
  end(): void;
  fail(error: unknown): void;
}

export function coded(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
