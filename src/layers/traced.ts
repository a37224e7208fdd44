import type { Attributes } from '@opentelemetry/api';
import { describeError } from '../contract/errors.ts';

/** Names and numbers of ours only: no URL, no header, no path of a document, no message of somebody else's error. */
export type TraceAttributes = Readonly<Record<string, string | number>>;

export interface Traced {
  readonly name: string;
  readonly kind: 'server' | 'consumer' | 'client';
  readonly attributes: TraceAttributes;
  /** Headers of a request that may belong to a trace already. */
  readonly headers?: Readonly<Record<string, unknown>>;
}

/**
 * Where OpenTelemetry's API keeps what was registered with it, of its first major version. Before anybody has registered anything its forty
 * modules need not be loaded.
 */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');

function isTaken(): boolean {
  return (globalThis as { [REGISTERED]?: { trace?: unknown } })[REGISTERED]?.trace !== undefined;
}

/** Does something as a span, where traces are wished for; costs nothing elsewhere. `note` adds what is known later. */
export function traced<T>(what: Traced, work: (note: (more: TraceAttributes) => void) => Promise<T>): Promise<T> {
  return isTaken() ? spanned(what, work) : work(ignore);
}

function ignore(): void {}

async function spanned<T>(
  { name, kind, attributes, headers }: Traced,
  work: (note: (more: TraceAttributes) => void) => Promise<T>,
): Promise<T> {
  const { context, propagation, SpanKind, SpanStatusCode, trace } = await import('@opentelemetry/api');
  const kinds = { server: SpanKind.SERVER, consumer: SpanKind.CONSUMER, client: SpanKind.CLIENT } as const;
  const parent = headers ? propagation.extract(context.active(), headers) : context.active();
  const span = trace
    .getTracer('lockgate')
    .startSpan(name, { kind: kinds[kind], attributes: { ...attributes } }, parent);
  try {
    return await context.with(trace.setSpan(parent, span), () =>
      work((more) => span.setAttributes(more as Attributes)),
    );
  } catch (error) {
    // The class of the failure; an exception's own words stay out.
    span.setStatus({ code: SpanStatusCode.ERROR, message: describeError(error).code });
    throw error;
  } finally {
    span.end();
  }
}
