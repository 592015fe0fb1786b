import { optionalTextOf, type Statements } from '../metadata/index.js';
import type { Digest } from '../spec/index.js';

/**
 * The size of every blob of a store, in bytes, by what the database says. It comes as one text, since 100,000 rows one by
 * one take most of a second.
 */
export async function blobSizes(statements: Statements): Promise<ReadonlyMap<Digest, number>> {
  const row = await statements.get(
    `SELECT group_concat(digest || ' ' || size, char(10)) AS sizes FROM blobs`,
  );
  const text = row === undefined ? undefined : optionalTextOf(row, 'sizes');
  if (text === undefined) return new Map();
  return new Map(
    text.split('\n').map((line) => {
      const space = line.indexOf(' ');
      return [line.slice(0, space) as Digest, Number(line.slice(space + 1))];
    }),
  );
}
