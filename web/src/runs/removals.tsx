import { useAnswer } from '../api.ts';
import { plural } from '../parts/amounts.tsx';
import { MODIFIED, PATH, SIZE } from '../parts/columns.tsx';
import { Pager, usePages } from '../parts/pager.tsx';
import { Rows } from '../parts/rows.tsx';
import { Asked } from '../parts/states.tsx';

/** What a run that waits for approval would remove. */
export function Removals({ id }: { id: string }) {
  const pages = usePages();
  const removals = useAnswer('runs.removals', { id, limit: 20, ...(pages.cursor ? { cursor: pages.cursor } : {}) });
  return (
    <Asked of={removals}>
      {({ items, total, nextCursor }) => (
        <>
          <Rows
            label="What would be removed"
            rows={items}
            keyOf={(document) => document.id}
            columns={[PATH, SIZE, MODIFIED]}
          />
          <Pager pages={pages} next={nextCursor} words={plural(total, 'document')} />
        </>
      )}
    </Asked>
  );
}
