import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { parseJson } from '../spec/index.js';
import { ByteRanges, type ByteSpan } from './byte-ranges.js';

/** What is known of a partial, beside its bytes. */
export interface IngestState {
  readonly mediaType: string;
  readonly size: number;
  /** `registry/repository` */
  readonly source?: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /**
   * Present once bytes were written out of order: which of them are there. Without it all bytes of the file were
   * written in order, and its length says how many there are.
   */
  readonly spans?: readonly ByteSpan[];
}

const STATE_FILE = 'state.json';
const STATE_MAX_BYTES = 128 * 1024;

/**
 * The state of a partial in its directory, which need not be locked by who only looks. Undefined where there is none, or
 * what is there makes no sense: then nothing of the partial is trusted.
 */
export async function readIngestState(path: string): Promise<IngestState | undefined> {
  try {
    const bytes = await readFile(join(path, STATE_FILE));
    return stateOf(parseJson(bytes, 'state of a partial blob', STATE_MAX_BYTES));
  } catch {
    return undefined;
  }
}

/**
 * Replaces the state, so that a process that dies leaves the old one or the new one. Not synced: after a power cut a
 * partial is worth what its digest says.
 */
export async function writeIngestState(path: string, state: IngestState): Promise<void> {
  const temporary = join(path, `${STATE_FILE}.${randomUUID()}`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(state));
    } finally {
      await file.close();
    }
    await rename(temporary, join(path, STATE_FILE));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Removes what a process left that died while it wrote a state. Only for who holds the directory. */
export async function removeStateTemporaries(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (name.startsWith(`${STATE_FILE}.`)) await rm(join(path, name), { force: true });
  }
}

/**
 * Which bytes of a partial are there: in order, and joined where they touch. Without a state it is all of them or none, by the length of
 * its file: what came in one piece has none.
 *
 * @param length of its file, in bytes
 * @param size of the whole blob: a partial that reaches beyond is not of this blob
 */
export function trustedSpans(
  state: IngestState | undefined,
  length: number,
  size: number,
): readonly ByteSpan[] {
  if (state === undefined) return length === size && size > 0 ? [{ start: 0, end: size }] : [];
  const there = new ByteRanges();
  for (const { start, end } of state.spans ?? [{ start: 0, end: length }])
    there.add(start, Math.min(end, length));
  const { spans } = there;
  return (spans.at(-1)?.end ?? 0) > size ? [] : spans;
}

function stateOf(value: unknown): IngestState | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { mediaType, size, source, startedAt, spans, frontier } = value as Record<string, unknown>;
  const recorded = spans ?? spansOfOld(frontier);
  if (
    typeof mediaType !== 'string' ||
    !isCount(size) ||
    !(source === undefined || typeof source === 'string') ||
    !isCount(startedAt) ||
    !(recorded === undefined || isSpans(recorded))
  ) {
    return undefined;
  }
  return {
    mediaType,
    size,
    startedAt,
    ...(source === undefined ? {} : { source }),
    ...(recorded === undefined ? {} : { spans: recorded }),
  };
}

/** A state from before partials kept more than their contiguous start says where that ends. */
function spansOfOld(frontier: unknown): unknown {
  return frontier === undefined ? undefined : [{ start: 0, end: frontier }];
}

function isSpans(value: unknown): value is readonly ByteSpan[] {
  return Array.isArray(value) && value.every(isSpan);
}

function isSpan(value: unknown): value is ByteSpan {
  if (typeof value !== 'object' || value === null) return false;
  const { start, end } = value as Record<string, unknown>;
  return isCount(start) && isCount(end) && start <= end;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
