import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { HttpParts } from './parts.ts';

const MAX_SOURCES = 2000;
const SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60];

interface Totals {
  readonly added: number;
  readonly changed: number;
  readonly moved: number;
  readonly removed: number;
  readonly failed: number;
  readonly bytes: number;
  readonly requests: number;
  readonly throttled: number;
  readonly requestsFailed: number;
  readonly secretWaits: number;
}

const RENAMED = [
  ['requests_throttled', 'throttled'],
  ['requests_failed', 'requestsFailed'],
  ['secret_waits', 'secretWaits'],
] as const;

/** What Prometheus asks for. Labels are routes, states and sources: nothing that a caller can make many of. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #parts: Pick<HttpParts, 'db' | 'auditEvents'>;
  readonly #requests: Histogram<'method' | 'route' | 'status'>;

  constructor(parts: Pick<HttpParts, 'db' | 'auditEvents'>) {
    this.#parts = parts;
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, prefix: 'lockgate_' });
    this.#requests = new Histogram({
      name: 'lockgate_http_request_duration_seconds',
      help: 'How long requests took.',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers,
    });
    this.#addTotals(registers);
    this.#addStates(registers);
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#requests.observe({ method, route, status: String(status) }, seconds);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** All runs that the database knows: the same from every process. */
  #addTotals(registers: Registry[]): void {
    const { db, auditEvents } = this.#parts;
    const counter = <T extends string>(
      name: string,
      help: string,
      labelNames: T[],
      collect: (own: Counter<T>) => Promise<void>,
    ) =>
      new Counter<T>({
        name,
        help,
        labelNames,
        registers,
        async collect() {
          this.reset();
          await collect(this as Counter<T>);
        },
      });
    const totals = async (): Promise<Totals> => {
      const columns = ['added', 'changed', 'moved', 'removed', 'failed', 'bytes', 'requests'];
      const named = [...columns.map((name) => [name, name]), ...RENAMED];
      const sums = named.map(([column, name]) => `sum(${column})::bigint as "${name}"`).join(', ');
      const all = named.map(([column]) => column).join(', ');
      // With what runs did that are gone.
      const [row] = await db.query<Totals>(
        `select ${sums} from (select ${all} from lockgate.run union all select ${all} from lockgate.run_total) as runs`,
      );
      return row as Totals;
    };
    counter(
      'lockgate_documents_total',
      'Documents that runs settled, by what became of them.',
      ['outcome'],
      async (own) => {
        const row = await totals();
        for (const outcome of ['added', 'changed', 'moved', 'removed', 'failed'] as const)
          own.inc({ outcome }, row[outcome]);
      },
    );
    counter('lockgate_fetched_bytes_total', 'Bytes of documents that runs fetched.', [], async (own) =>
      own.inc((await totals()).bytes),
    );
    counter('lockgate_source_requests_total', 'Requests to sources, by how they ended.', ['outcome'], async (own) => {
      const { requests, throttled, requestsFailed } = await totals();
      own.inc({ outcome: 'ok' }, requests - throttled - requestsFailed);
      own.inc({ outcome: 'throttled' }, throttled);
      own.inc({ outcome: 'failed' }, requestsFailed);
    });
    counter(
      'lockgate_secret_manager_waits_total',
      'How often a run had to ask a secret manager again.',
      [],
      async (own) => own.inc((await totals()).secretWaits),
    );
    counter('lockgate_audit_events_total', 'Events in the audit log.', [], async (own) => own.inc(await auditEvents()));
  }

  #addStates(registers: Registry[]): void {
    const { db } = this.#parts;
    const gauge = <T extends string>(
      name: string,
      help: string,
      labelNames: T[],
      collect: (own: Gauge<T>) => Promise<void>,
    ) =>
      new Gauge<T>({
        name,
        help,
        labelNames,
        registers,
        async collect() {
          this.reset();
          await collect(this as Gauge<T>);
        },
      });
    gauge('lockgate_runs', 'Runs by state.', ['state'], async (own) => {
      const rows = await db.query<{ state: string; count: number }>(
        'select state, count(*) as count from lockgate.run group by state',
      );
      for (const { state, count } of rows) own.set({ state } as never, count);
    });
    gauge(
      'lockgate_run_duration_seconds',
      'The mean duration of the runs that completed in the last hour.',
      [],
      async (own) => {
        const [row] = await db.query<{ mean: number | null }>(
          `select extract(epoch from avg(finished_at - started_at))::float8 as mean from lockgate.run
          where state = 'completed' and finished_at > now() - interval '1 hour'`,
        );
        if (row?.mean) own.set(row.mean);
      },
    );
    gauge('lockgate_queue_depth', 'Jobs that wait for a worker, by queue.', ['queue'], async (own) => {
      const rows = await db.query<{ name: string; count: number }>(
        `select name, count(*) as count from lockgate_queue.job where state < 'active' and name not like '\\_\\_%' group by name`,
      );
      for (const { name, count } of rows) own.set({ queue: name } as never, count);
    });
    gauge(
      'lockgate_source_last_complete_listing_age_seconds',
      'How long ago the latest run of a source completed.',
      ['source'],
      async (own) => {
        const rows = await db.query<{ id: string; age: number }>(
          `select id, extract(epoch from now() - last_completed_at)::float8 as age from lockgate.source
          where last_completed_at is not null and removed_at is null order by created_at limit ${MAX_SOURCES}`,
        );
        for (const { id, age } of rows) own.set({ source: id } as never, age);
      },
    );
  }
}
