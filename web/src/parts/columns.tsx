import { bytes, When } from './amounts.tsx';
import type { Column } from './rows.tsx';

/** Columns that many tables have. */
export const PATH: Column<{ readonly path: string }> = {
  title: 'Path',
  cell: ({ path }) => <span className="path">{path}</span>,
};

export const SIZE: Column<{ readonly size: number }> = {
  title: 'Size',
  cell: ({ size }) => bytes(size),
  number: true,
};

export const MODIFIED: Column<{ readonly modifiedAt: string }> = {
  title: 'Modified',
  cell: ({ modifiedAt }) => <When time={modifiedAt} />,
};
