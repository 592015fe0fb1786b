import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { type Abortable, ContentError, systemCode, throwIfAborted } from '../../errors.js';
import { type Digest, parseJson } from '../../spec/index.js';
import { lock, tryLock } from '../../system/index.js';
import { ByteRanges } from './arriving-bytes.js';
import type { ByteSpan, IngestProgress } from './content-store.js';
import { digestOfIngest, fileError, INGEST, isTemporaryFile, unlessMissing } from './layout-files.js';

/** In the directory of a partial: who has locked it has the partial. */
export const LOCK_FILE = 'lock';
const DATA_FILE = 'data';

/**
 * The directory of one partial blob, held under a kernel lock: while this object lives nobody else writes,
 * removes or expires it, and when its process dies the kernel passes the lock to whoever waits.
 *
 * The lock file goes with the directory, so one that was waited for may be a deleted file while a new one
 * stands under its name. Who gets a lock therefore looks whether the name still means the file that it has
 * locked.
 */
export class IngestDirectory {
  readonly path: string;
  readonly #lock: FileHandle;

  private constructor(path: string, lockFile: FileHandle) {
    this.path = path;
    this.#lock = lockFile;
  }

  /**
   * Makes the directory where it is absent, and waits until it is ours.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM; LandfallError ABORTED
   */
  static async lock(path: string, o: Abortable = {}): Promise<IngestDirectory> {
    for (;;) {
      const held = await IngestDirectory.#attempt(path, true, async (fd) => {
        await lock(fd, o);
        return true;
      });
      if (held !== 'gone' && held !== undefined) return held;
    }
  }

  /**
   * Makes the directory ours if nobody has it; undefined if somebody does.
   *
   * @param o `create`: whether an absent directory is made; if not, it gives undefined too
   */
  static async tryLock(path: string, o: { create: boolean }): Promise<IngestDirectory | undefined> {
    for (;;) {
      const held = await IngestDirectory.#attempt(path, o.create, (fd) =>
        Promise.resolve(tryLock(fd, 'exclusive')),
      );
      if (held !== 'gone') return held;
      if (!o.create) return undefined;
    }
  }

  /** `gone`: the directory was removed in between. */
  static async #attempt(
    path: string,
    create: boolean,
    take: (fd: number) => Promise<boolean>,
  ): Promise<IngestDirectory | 'gone' | undefined> {
    const file = await openLockFile(path, create);
    if (file === undefined) return 'gone';
    try {
      if (!(await take(file.fd))) {
        await file.close();
        return undefined;
      }
      if (await isStill(file, join(path, LOCK_FILE))) return new IngestDirectory(path, file);
    } catch (error) {
      await file.close();
      throw fileError(error, 'lock a partial blob', path);
    }
    await file.close();
    return 'gone';
  }

  get dataPath(): string {
    return IngestDirectory.dataPathIn(this.path);
  }

  /** Where the bytes of a partial lie, for who only looks. */
  static dataPathIn(path: string): string {
    return join(path, DATA_FILE);
  }

  readState(): Promise<IngestState | undefined> {
    return readIngestState(this.path);
  }

  writeState(state: IngestState): Promise<void> {
    return writeIngestState(this.path, state);
  }

  /** Removes what writers left that died in the middle of something. */
  removeTemporaries(): Promise<void> {
    return removeStateTemporaries(this.path);
  }

  /** How many bytes its file has; 0 where there is none. */
  async dataSize(): Promise<number> {
    return (await unlessMissing(stat(this.dataPath)))?.size ?? 0;
  }

  /** Lets the next one in; the partial stays. */
  async release(): Promise<void> {
    await this.#lock.close();
  }

  /** Lets the next one in; a partial stays, and a directory without any bytes goes. */
  async leave(): Promise<void> {
    const size = await this.dataSize().catch(() => undefined);
    if (size === 0) await this.remove();
    else await this.release();
  }

  /** Removes the partial and lets the next one in, who then makes the directory anew. */
  async remove(): Promise<void> {
    try {
      // The lock file last: while it is there, nobody else is in here.
      for (const name of await readdir(this.path)) {
        if (name !== LOCK_FILE) await rm(join(this.path, name), { recursive: true, force: true });
      }
      await unlink(join(this.path, LOCK_FILE));
      await rmdir(this.path);
    } catch (error) {
      // Somebody came in as soon as the lock file was gone, and the directory is theirs.
      if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'ENOENT') {
        throw fileError(error, 'remove a partial blob', this.path);
      }
    } finally {
      await this.#lock.close();
    }
  }
}

async function openLockFile(path: string, create: boolean): Promise<FileHandle | undefined> {
  const file = join(path, LOCK_FILE);
  try {
    if (create) await mkdir(path, { mode: 0o700 }).catch(unlessExists);
    // For writing, since some network file systems give an exclusive lock on nothing less.
    return await unlessMissing(open(file, constants.O_RDWR | constants.O_CREAT, 0o600));
  } catch (error) {
    throw fileError(error, 'make a place for a partial blob', path);
  }
}

function unlessExists(error: unknown): void {
  if (systemCode(error) !== 'EEXIST') throw error;
}

async function isStill(file: FileHandle, name: string): Promise<boolean> {
  const [ours, named] = await Promise.all([
    file.stat({ bigint: true }),
    unlessMissing(stat(name, { bigint: true })),
  ]);
  return named?.dev === ours.dev && named.ino === ours.ino;
}

/** What is known of a partial, beside its bytes. */
export interface IngestState {
  readonly mediaType: string;
  readonly size: number;
  /** `registry/repository` */
  readonly source?: string | undefined;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /**
   * Present once bytes were written out of order: which of them are there. Without it all bytes of the file
   * were written in order, and its length says how many there are.
   */
  readonly spans?: readonly ByteSpan[] | undefined;
}

const STATE_FILE = 'state.json';
const STATE_MAX_BYTES = 128 * 1024;

/**
 * The state of a partial in its directory, which need not be locked by who only looks. Undefined where there
 * is none, or what is there makes no sense: then nothing of the partial is trusted.
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
 * Replaces the state, so that a process that dies leaves the old one or the new one. Not synced: after a
 * power cut a partial is worth what its digest says.
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
 * Which bytes of a partial are there: in order, and joined where they touch. Without a state it is all of
 * them or none, by the length of its file: what came in one piece has none.
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
  return { mediaType, size, startedAt, source, spans: recorded };
}

/** A state from before partials kept more than their contiguous start says where that ends. */
function spansOfOld(offset: unknown): unknown {
  return offset === undefined ? undefined : [{ start: 0, end: offset }];
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

/** What an earlier process had left may be what a power cut made of it: worth one more try from zero. */
export function stalePartial(mismatch: ContentError): ContentError {
  return new ContentError('DIGEST_MISMATCH', mismatch.message, {
    cause: mismatch,
    retryable: true,
    details: mismatch.details,
    hint: 'What an earlier download had left was damaged and is gone; try again.',
  });
}

/** A blob that began to arrive and is not committed. */
export interface PartialBlob {
  readonly digest: Digest;
  /** Bytes that are here, as far as that is recorded. */
  readonly bytes: number;
  /** Bytes of the whole; undefined where its state is lost. */
  readonly size?: number | undefined;
  /** `registry/repository` */
  readonly source?: string | undefined;
  /** When bytes last arrived. */
  readonly updatedAt: Date;
  /** Whether a process is writing it at this moment. */
  readonly inFlight: boolean;
}

/** The partials of a store. */
export async function listPartials(root: string): Promise<readonly PartialBlob[]> {
  const partials: PartialBlob[] = [];
  for (const name of await namesIn(root)) {
    const digest = digestOfIngest(name);
    const path = join(root, INGEST, name);
    const partial = digest === undefined ? undefined : await describe(path, digest);
    if (partial !== undefined) partials.push(partial);
  }
  return partials;
}

/**
 * How far the partial in a directory of `ingest/` is, for who only looks: one that arrives out of order has
 * more than its writer has recorded so far. Undefined where it is not there, or no longer, since it became a
 * blob.
 *
 * @throws ContentError FILESYSTEM
 */
export async function partialProgress(path: string): Promise<IngestProgress | undefined> {
  const { known, isThere } = await look(path);
  const { bytes, size } = known;
  return isThere ? { bytes, ...(size === undefined ? {} : { size }) } : undefined;
}

export interface ExpirePartialsOptions extends Abortable {
  /** Only what no byte was added to for so long. */
  readonly olderThanMs: number;
  /** Changes nothing, and says what it would remove. */
  readonly dryRun?: boolean;
}

/**
 * Removes partials that nobody writes and nobody has gone on with, and temporary files of processes that
 * died. One that is in flight stays, however old.
 *
 * @returns what was removed
 */
export async function expirePartials(
  root: string,
  o: ExpirePartialsOptions,
): Promise<readonly PartialBlob[]> {
  const removed: PartialBlob[] = [];
  for (const name of await namesIn(root)) {
    throwIfAborted(o.signal);
    const path = join(root, INGEST, name);
    const digest = digestOfIngest(name);
    if (digest !== undefined) {
      const partial = await expire(path, digest, o);
      if (partial !== undefined) removed.push(partial);
    } else if (isTemporaryFile(name) && o.dryRun !== true) {
      await expireTemporary(path, o.olderThanMs);
    }
  }
  return removed;
}

async function expire(
  path: string,
  digest: Digest,
  o: ExpirePartialsOptions,
): Promise<PartialBlob | undefined> {
  const directory = await IngestDirectory.tryLock(path, { create: false });
  if (directory === undefined) return undefined;
  let expired = false;
  try {
    if (o.dryRun !== true) await directory.removeTemporaries();
    const partial = await measure(path, digest);
    // Where there is no byte, there is nothing to go on with.
    expired = partial !== undefined && (partial.bytes === 0 || isOlder(partial.updatedAt, o.olderThanMs));
    return expired ? partial : undefined;
  } finally {
    if (expired && o.dryRun !== true) await directory.remove();
    else await directory.release();
  }
}

async function describe(path: string, digest: Digest): Promise<PartialBlob | undefined> {
  const measured = await measure(path, digest);
  if (measured === undefined) return undefined;
  const directory = await IngestDirectory.tryLock(path, { create: false });
  await directory?.release();
  // Not ours, and still there: somebody has it.
  const inFlight = directory === undefined && (await unlessMissing(stat(path))) !== undefined;
  return { ...measured, inFlight };
}

async function measure(path: string, digest: Digest): Promise<PartialBlob | undefined> {
  const { known, changedAt } = await look(path);
  return changedAt === undefined ? undefined : { digest, ...known, updatedAt: changedAt, inFlight: false };
}

/**
 * The state of a partial, read from its directory: `changedAt` is undefined without a directory, `isThere` is
 * of the file.
 */
async function look(path: string): Promise<{
  readonly known: Pick<PartialBlob, 'bytes' | 'size' | 'source'>;
  readonly changedAt: Date | undefined;
  readonly isThere: boolean;
}> {
  const [data, directory, state] = await Promise.all([
    unlessMissing(stat(IngestDirectory.dataPathIn(path))),
    unlessMissing(stat(path)),
    readIngestState(path),
  ]).catch((error: unknown) => {
    throw fileError(error, 'look at a partial blob', path);
  });
  const length = data?.size ?? 0;
  // Where the state is lost, all that is known is that so much lies there.
  const bytes =
    state === undefined
      ? length
      : trustedSpans(state, length, Infinity).reduce((sum, { start, end }) => sum + end - start, 0);
  return {
    known: { bytes, size: state?.size, source: state?.source },
    changedAt: directory && (data ?? directory).mtime,
    isThere: data !== undefined,
  };
}

async function expireTemporary(path: string, olderThanMs: number): Promise<void> {
  const file = await unlessMissing(stat(path));
  if (file !== undefined && isOlder(file.mtime, olderThanMs)) await rm(path, { force: true });
}

function isOlder(time: Date, thanMs: number): boolean {
  return Date.now() - time.getTime() >= thanMs;
}

async function namesIn(root: string): Promise<readonly string[]> {
  const path = join(root, INGEST);
  try {
    return (await unlessMissing(readdir(path))) ?? [];
  } catch (error) {
    throw fileError(error, 'list partial blobs', path);
  }
}
