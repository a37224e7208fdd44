import { useAnswer } from '../api.ts';
import { When } from '../parts/amounts.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked, Empty } from '../parts/states.tsx';

export function Workers() {
  const workers = useAnswer('workers.list', {}, { every: 10_000 });
  return (
    <Asked of={workers}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No worker">
            Nothing is synced without one. It starts with the service, or by itself: lockgate worker.
          </Empty>
        ) : (
          <Rows
            label="Workers"
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              { title: 'Worker', cell: ({ id }) => id },
              {
                title: 'Labels',
                cell: ({ labels, onlyLabels }) => `${labels.join(', ') || 'none'}${onlyLabels ? ' only' : ''}`,
              },
              { title: 'Leads', cell: ({ leads, concurrency }) => `${leads} of ${concurrency} runs`, number: true },
              { title: 'Helps', cell: ({ helps }) => helps, number: true },
              { title: 'Version', cell: ({ version }) => version },
              { title: 'Since', cell: ({ startedAt }) => <When time={startedAt} /> },
              { title: 'Heard of', cell: ({ alive, heartbeatAt }) => (alive ? 'now' : <When time={heartbeatAt} />) },
            ]}
          />
        )
      }
    </Asked>
  );
}
