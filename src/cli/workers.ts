import { type Globals, printJson, printTable } from './present.ts';
import { withSession } from './session.ts';

export function list(globals: Globals): Promise<void> {
  return withSession(async ({ call }) => {
    const { items } = await call('workers.list', {});
    if (globals.json) return printJson({ items });
    printTable(
      ['worker', 'labels', 'leads', 'helps', 'at once', 'started', 'last heard of'],
      items.map((each) => [
        each.id,
        `${each.labels.join(', ')}${each.onlyLabels ? ' only' : ''}`,
        each.leads,
        each.helps,
        each.concurrency,
        each.startedAt,
        each.alive ? each.heartbeatAt : `${each.heartbeatAt} (gone)`,
      ]),
      'No worker runs. Start one: lockgate worker, or lockgate serve',
    );
  });
}
