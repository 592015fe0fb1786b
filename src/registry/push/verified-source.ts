import { createHash, type Hash } from 'node:crypto';
import { addAbortSignal, Readable } from 'node:stream';

import { type Abortable, abortedError, ContentError } from '../../errors.js';
import { algorithmOf, createDigester, type Descriptor, exactSize } from '../../spec/index.js';

/** Opens content from a byte on. Called again whenever bytes must be sent again. */
export type OpenContent = (offset?: number) => Promise<Readable>;

export interface VerifiedSourceOptions extends Abortable {
  /** The bytes that have been given out. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** What went wrong with the content on this side. */
export interface SourceFault {
  readonly error: unknown;
  /**
   * Whether it broke while it was read; else it could not be opened, which whatever opens it has tried often
   * enough.
   */
  readonly opened: boolean;
}

/** The state of the digest after the first `at` bytes. */
interface Checkpoint {
  readonly at: number;
  readonly hash: Hash;
}

/** How many bytes may have to be read again to go on from any place: the larger of these two. */
const MIN_SPACING = 4 * 1024 * 1024;
const MAX_CHECKPOINTS = 256;

/**
 * Content that is sent in one piece or several, some of it perhaps twice, and held against its descriptor
 * meanwhile.
 *
 * The state of the digest is kept at some places, so that sending goes on in the middle without the beginning
 * being read again. The last chunk of all is given out only when the digest and the length hold, so a
 * registry never has the whole of other bytes than those that were promised.
 */
export class VerifiedSource {
  readonly #descriptor: Descriptor;
  readonly #open: OpenContent;
  readonly #options: VerifiedSourceOptions;
  readonly #spacing: number;
  /** Ascending; the first is at 0. */
  readonly #checkpoints: Checkpoint[];
  /** Left open at the end of the last piece, where the next one most often begins. */
  #reader: Reader | undefined;
  /** Counts the pieces; a reading that has been overtaken by a later one stops. */
  #readings = 0;
  #piece: Readable | undefined;
  #verified = false;
  #failure: SourceFault | undefined;

  /** @throws {SpecError} INVALID_DIGEST for an algorithm that cannot be verified */
  constructor(descriptor: Descriptor, open: OpenContent, options: VerifiedSourceOptions = {}) {
    // Refuses what cannot be verified; its digester has no state that could be copied.
    createDigester(descriptor.digest);
    this.#descriptor = descriptor;
    this.#open = open;
    this.#options = options;
    this.#spacing = Math.max(MIN_SPACING, Math.ceil(descriptor.size / MAX_CHECKPOINTS));
    this.#checkpoints = [{ at: 0, hash: createHash(algorithmOf(descriptor.digest)) }];
  }

  /** Whether all bytes have been given out and were those of the descriptor. */
  get verified(): boolean {
    return this.#verified;
  }

  /** What went wrong on this side, as opposed to at the registry, since this was last asked. */
  takeFailure(): SourceFault | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /**
   * The bytes from `start` to `end`, without `end`. It ends the piece before, if that is still being read.
   */
  piece(start: number, end: number): Readable {
    this.#piece?.destroy();
    this.#piece = Readable.from(this.#read(start, end), { objectMode: false });
    return this.#piece;
  }

  /**
   * All of it, where it is small. @throws {ContentError} SIZE_MISMATCH, DIGEST_MISMATCH; what the source
   * throws
   */
  async bytes(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#read(0, this.#descriptor.size)) chunks.push(chunk);
    return Buffer.concat(chunks, this.#descriptor.size);
  }

  /** Closes what is open. */
  close(): void {
    this.#readings += 1;
    this.#piece?.destroy();
    this.#reader?.close();
    this.#reader = undefined;
  }

  async *#read(start: number, end: number): AsyncGenerator<Buffer> {
    this.#readings += 1;
    const reading = this.#readings;
    this.#failure = undefined;
    this.#verified = false;
    let reader: Reader | undefined;
    // What is thrown in while a chunk is out comes from the reader of the piece: the connection broke.
    let out = false;
    try {
      reader = await this.#readerAt(start);
      let held: Buffer | undefined;
      while (reader.at < end) {
        const from = reader.at;
        const chunk = await reader.next(end - from);
        if (reading !== this.#readings) return;
        if (chunk === undefined) throw sizeMismatch(this.#descriptor, from);
        this.#keepCheckpoint(reader, reader.at === end);
        out = true;
        if (held !== undefined) yield this.#counted(held, from);
        out = false;
        held = reader.at > start ? chunk.subarray(Math.max(0, start - from)) : undefined;
      }
      if (end === this.#descriptor.size) await this.#verify(reader, reading);
      else this.#reader = reader;
      out = true;
      if (held !== undefined) yield this.#counted(held, end);
    } catch (cause) {
      const { signal } = this.#options;
      const error = signal?.aborted === true ? abortedError(signal) : cause;
      if (!out && reading === this.#readings) this.#failure = { error, opened: reader !== undefined };
      throw error;
    } finally {
      if (reader !== this.#reader) reader?.close();
    }
  }

  #counted(chunk: Buffer, upTo: number): Buffer {
    this.#options.onProgress?.(upTo);
    return chunk;
  }

  /**
   * A reader at `start`, or somewhat before it. What follows is read anew, so what was known of it is
   * forgotten.
   */
  async #readerAt(start: number): Promise<Reader> {
    const open = this.#reader;
    this.#reader = undefined;
    if (open?.at === start) return open;
    open?.close();
    const later = this.#checkpoints.findIndex(({ at }) => at > start);
    if (later !== -1) this.#checkpoints.length = later;
    const checkpoint = this.#lastCheckpoint();
    return new Reader(await this.#opened(checkpoint.at), checkpoint);
  }

  async #opened(at: number): Promise<Readable> {
    const { signal } = this.#options;
    const stream = await this.#open(at);
    return signal === undefined ? stream : addAbortSignal(signal, stream);
  }

  #keepCheckpoint({ at, hash }: Reader, always: boolean): void {
    const last = this.#lastCheckpoint();
    if (always ? at > last.at : at - last.at >= this.#spacing) {
      this.#checkpoints.push({ at, hash: hash.copy() });
    }
  }

  #lastCheckpoint(): Checkpoint {
    const last = this.#checkpoints.at(-1);
    if (last === undefined) throw new Error('there is always a checkpoint at 0');
    return last;
  }

  async #verify(reader: Reader, reading: number): Promise<void> {
    const { digest: expected, size } = this.#descriptor;
    if ((await reader.next(1)) !== undefined) throw sizeMismatch(this.#descriptor, undefined);
    if (reading !== this.#readings) return;
    const actual = `${algorithmOf(expected)}:${reader.hash.digest('hex')}`;
    if (actual !== expected) {
      throw new ContentError(
        'DIGEST_MISMATCH',
        `the bytes to push as ${expected} have the digest ${actual}, over ${exactSize(size)}`,
        { hint: PUSHED_NOTHING, details: { digest: expected, expected, actual } },
      );
    }
    this.#verified = true;
  }
}

const PUSHED_NOTHING =
  'The copy here is damaged or has changed, and was not pushed; pull it again from where it came.';

/** `actual` is undefined where there is more than there should be. */
function sizeMismatch({ digest, size }: Descriptor, actual: number | undefined): ContentError {
  const has = actual === undefined ? 'more' : exactSize(actual);
  return new ContentError(
    'SIZE_MISMATCH',
    `${digest} should have ${exactSize(size)}, and its source has ${has}`,
    {
      hint: PUSHED_NOTHING,
      details: { digest, expected: size, actual },
    },
  );
}

/** A stream, cut where it is wanted, with the digest up to there. */
class Reader {
  at: number;
  readonly hash: Hash;
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<unknown>;
  #rest: Buffer | undefined;

  constructor(stream: Readable, { at, hash }: Checkpoint) {
    this.at = at;
    this.hash = hash.copy();
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** The next bytes, `most` of them at most; undefined at the end. */
  async next(most: number): Promise<Buffer | undefined> {
    const chunk = this.#rest ?? (await this.#chunk());
    if (chunk === undefined) return undefined;
    const wanted = chunk.subarray(0, most);
    this.#rest = wanted.length < chunk.length ? chunk.subarray(most) : undefined;
    this.hash.update(wanted);
    this.at += wanted.length;
    return wanted;
  }

  close(): void {
    this.#stream.destroy();
  }

  async #chunk(): Promise<Buffer | undefined> {
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      const chunk = Buffer.isBuffer(next.value) ? next.value : Buffer.from(next.value as Uint8Array);
      if (chunk.length > 0) return chunk;
    }
  }
}
