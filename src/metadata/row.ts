import { ContentError } from '../errors.js';

/** What a column can hold. Integers are exact up to 2^53 - 1. */
export type SqlValue = string | number | null | Uint8Array;

/** A row of a result, by column name. Read it by the functions below, which check what they find. */
export type Row = Readonly<Record<string, SqlValue>>;

/** @throws ContentError STORE_CORRUPT when the column holds something else */
export function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw unexpected(column, 'text');
  return value;
}

/** @throws ContentError STORE_CORRUPT when the column holds something else */
export function integerOf(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw unexpected(column, 'a number');
  return value;
}

/** Undefined where the column is NULL. */
export function optionalTextOf(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : textOf(row, column);
}

/** Undefined where the column is NULL. */
export function optionalIntegerOf(row: Row, column: string): number | undefined {
  return row[column] === null ? undefined : integerOf(row, column);
}

/** A column in milliseconds since 1970. */
export function dateOf(row: Row, column: string): Date {
  return new Date(integerOf(row, column));
}

/** A column that holds JSON. Its shape is the caller's to check. */
export function jsonOf(row: Row, column: string): unknown {
  try {
    return JSON.parse(textOf(row, column)) as unknown;
  } catch (cause) {
    throw unexpected(column, 'JSON', cause);
  }
}

/** A column that holds labels: a JSON object of strings. */
export function labelsOf(row: Row, column: string): Record<string, string> {
  const value = jsonOf(row, column);
  if (typeof value !== 'object' || value === null) throw unexpected(column, 'labels');
  return Object.fromEntries(
    Object.entries(value).map(([key, label]: [string, unknown]) => {
      if (typeof label !== 'string') throw unexpected(column, 'labels');
      return [key, label];
    }),
  );
}

function unexpected(column: string, wanted: string, cause?: unknown): ContentError {
  return new ContentError('STORE_CORRUPT', `column ${column} of the database does not hold ${wanted}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'Rebuild the database from the blobs and snapshots beside it: landfall fsck --rebuild.',
  });
}
