import { systemClock } from '../src/clock.ts';
import type { Runtime } from '../src/contract/connector.ts';
import { createEgress } from '../src/layers/egress.ts';

/** What a connector needs, with these origins listed by the deployment. */
export function runtimeFor(...allowed: string[]): Runtime {
  return { clock: systemClock, egress: createEgress(allowed), ambient: false, slowDown: () => undefined };
}
