/** A cell; `undefined` is shown as nothing. */
export type TableValue = string | number | undefined;

/** How one column is shown. */
export type TableColumn<Row> = {
  title: string;
  /** What the column shows of a row; a number is right-aligned. */
  value: (row: Row) => TableValue;
};

/** How a table is shown. */
export type FormatTableOptions<Row> = {
  columns: readonly TableColumn<Row>[];
  /** Text before each line. Default: none. */
  indent?: string;
};

/**
 * Formats rows as a plain text table for a terminal: columns aligned, numbers to the right.
 *
 * Widths are counted in code points: wide characters (CJK, emoji) shift what follows them.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { formatTable } from "./table.ts";
 *
 * const rows = [{ arm: "base", loss: 0.25 }, { arm: "add skip", loss: 10 }];
 * const text = formatTable(rows, {
 *   columns: [
 *     { title: "arm", value: (row) => row.arm },
 *     { title: "loss", value: (row) => row.loss },
 *   ],
 * });
 * assert.equal(text, "arm       loss\n--------  ----\nbase      0.25\nadd skip    10");
 * ```
 */
export function formatTable<Row>(
  rows: readonly Row[],
  { columns, indent = "" }: FormatTableOptions<Row>,
): string {
  const values = rows.map((row) => columns.map((column) => column.value(row)));
  const isNumeric = columns.map((_, c) => values.every((row) => looksNumeric(row[c])));
  const lines = [
    columns.map((column) => column.title),
    ...values.map((row) => row.map((value) => value === undefined ? "" : String(value))),
  ];
  const widths = columns.map((_, c) => Math.max(...lines.map((line) => width(line[c]))));
  lines.splice(1, 0, widths.map((w) => "-".repeat(w)));
  return lines
    .map((line) => line.map((text, c) => pad(text, { width: widths[c], right: isNumeric[c] })))
    .map((line) => (indent + line.join("  ")).trimEnd())
    .join("\n");
}

/** A number, also as text with a sign or a unit; nothing and a lone dash count too. */
function looksNumeric(value: TableValue): boolean {
  return typeof value !== "string" || /^([-–+<>~≈ ]*[.\d]|[-–]?$)/.test(value);
}

function width(text: string): number {
  return [...text].length;
}

function pad(text: string, options: { width: number; right: boolean }): string {
  const space = " ".repeat(options.width - width(text));
  return options.right ? space + text : text + space;
}
