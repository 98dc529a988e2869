/** A table of figures with one row for each thing; where there is little room, each row becomes a small list. */

import type { ComponentChildren } from "preact";
import { TableScroll } from "./parts";

export interface Column {
  readonly name: string;
  readonly class?: "number" | "bar-cell" | "name";
}

export interface Row {
  readonly key: string;
  readonly class?: string;
  /** One for each column; the first names the row. */
  readonly cells: readonly ComponentChildren[];
}

export const numbers = (...names: readonly string[]): Column[] =>
  names.map((name) => ({ name, class: "number" }));

interface Props {
  label: string;
  caption?: string;
  columns: readonly Column[];
  rows: readonly Row[];
}

export function Table({ label, caption, columns, rows }: Props) {
  return (
    <TableScroll label={label}>
      <table class="bars rows">
        {caption && <caption class="sr-only">{caption}</caption>}
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" class={column.class}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.key} class={row.class}>
              {row.cells.map((cell, at) =>
                at === 0 ? (
                  <th key={at} scope="row" class={columns[at]?.class}>
                    {cell}
                  </th>
                ) : (
                  <td key={at} class={columns[at]?.class} data-label={columns[at]?.name}>
                    {cell}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}
