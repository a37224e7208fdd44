import { Table } from '@mantine/core';
import type { ReactNode } from 'react';

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => ReactNode;
  /** Figures stand to the right. */
  readonly number?: boolean;
}

interface RowsProps<T> {
  /** What the table is of, for those who do not see it. */
  readonly label: string;
  readonly rows: readonly T[];
  readonly columns: readonly Column<T>[];
  readonly keyOf: (row: T) => string;
  /** Whether it is scrolled in itself, so that what follows stays in reach. */
  readonly low?: boolean;
}

/** A table that can be scrolled sideways where it does not fit, also by keyboard. */
export function Rows<T>({ label, rows, columns, keyOf, low = false }: RowsProps<T>) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section className={low ? 'rows low' : 'rows'} aria-label={label} tabIndex={0}>
      <Table highlightOnHover verticalSpacing="xs" miw={Math.min(900, columns.length * 110)}>
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ title, number }) => (
              <Table.Th key={title} {...(number ? { className: 'number' } : {})}>
                {title}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={keyOf(row)}>
              {columns.map(({ title, cell, number }) => (
                <Table.Td key={title} {...(number ? { className: 'number' } : {})}>
                  {cell(row)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  );
}

/** Names and what they are, one below the other. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <Table withRowBorders={false} verticalSpacing={4} w="auto" h="fit-content">
      <Table.Tbody>
        {facts.map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Th scope="row" fw={500} c="dimmed" pl={0}>
              {name}
            </Table.Th>
            <Table.Td className="path">{value}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
