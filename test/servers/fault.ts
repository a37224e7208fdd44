import type { ServerResponse } from 'node:http';

/** How a request goes wrong. */
export type Fault =
  | {
      readonly kind: 'error';
      readonly status: number;
      readonly code: string;
      readonly headers?: Record<string, string>;
      readonly message?: string;
    }
  /** Another answer than the right one, as JSON. */
  | { readonly kind: 'answer'; readonly body: string }
  | { readonly kind: 'reset' }
  /** Answers nothing, for ever. */
  | { readonly kind: 'stall' }
  /** Sends this many bytes of the body and cuts the connection. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Sends a body whose bytes are not the object's. */
  | { readonly kind: 'corrupt' }
  /** Sends a shorter body as if it were whole. */
  | { readonly kind: 'short' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answers as it should, as soon as this has come. */
  | { readonly kind: 'hold'; readonly until: Promise<void> };

/** The bytes that a fault makes of a body. */
export function faultyBody(body: Buffer, fault: Fault | undefined): Buffer {
  if (fault?.kind === 'corrupt') return Buffer.from(body.map((byte) => byte ^ 1));
  if (fault?.kind === 'short') return body.subarray(0, Math.floor(body.length / 2));
  return body;
}

/** Ends an answer whose head is sent: whole, or cut off in the middle. */
export function sendBody(response: ServerResponse, body: Buffer, fault: Fault | undefined): void {
  if (fault?.kind === 'cut') response.write(body.subarray(0, fault.after), () => response.socket?.destroy());
  else response.end(body);
}
