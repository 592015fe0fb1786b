import type { Readable } from 'node:stream';
import type { Abortable } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';

/** Free text that users and other programs attach to things; keys are theirs. */
export type Labels = Readonly<Record<string, string>>;

/*
 * Vocabulary. A *blob* is committed content: whole, verified, immutable, named by the digest of its bytes. An
 * *ingest* is a blob on its way in. Its *offset* is the number of contiguous bytes from 0 that have arrived:
 * what lies behind it may be read. What arrived beyond it is kept too, and `missing` says what is still to come.
 * Committing is the only door from ingest to blob, so whatever `info` finds was verified once, by this store.
 *
 * Lifecycle: `ingest` -> `write`… -> `commit`, or `discard`, or neither (closing keeps the partial for resume).
 */

/** A part of a blob: `length` bytes from `offset`; without a length, to the end. */
export interface ByteRange {
  /** Bytes from the beginning. */
  readonly offset: number;
  /** Bytes. Default: to the end. */
  readonly length?: number | undefined;
}

/** From `start` up to and without `end`. */
export interface ByteSpan {
  /** Bytes from the beginning. */
  readonly start: number;
  /** Bytes from the beginning. */
  readonly end: number;
}

/** What the store knows of a blob. */
export interface BlobInfo {
  /** Of its bytes. */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** When it was committed. */
  readonly createdAt: Date;
  /** What users and other programs attached to it. */
  readonly labels: Labels;
  /** Where it came from (`registry/repository`), where that is known. */
  readonly source?: string | undefined;
}

/** The reading half of a store; an OCI layout directory has just this one (image-spec: image-layout.md). */
export interface BlobProvider {
  /**
   * What is known of a blob, or undefined when it is not here. Never reads the content.
   *
   * @throws {ContentError} FILESYSTEM
   */
  info(digest: Digest): Promise<BlobInfo | undefined>;
  /**
   * The bytes of a blob, or a range of them, as they were verified at commit. The caller consumes or destroys
   * the stream.
   *
   * @throws {ContentError} BLOB_NOT_FOUND, SIZE_MISMATCH (the descriptor says another size), FILESYSTEM
   */
  open(descriptor: Descriptor, range?: ByteRange): Promise<Readable>;
  /**
   * Where the blob lies, for readers in other threads.
   *
   * @throws {ContentError} BLOB_NOT_FOUND when it is not here; UNSUPPORTED where blobs are not files
   *   (MemoryContentStore)
   */
  path(digest: Digest): Promise<string>;
}

/** Blobs that arrive, are verified, and stay until they are removed. */
export interface ContentStore extends BlobProvider {
  /**
   * Begins, or resumes, the arrival of a blob. Undefined when the blob is here already; when it is in flight
   * elsewhere (in this process or another one on the same root) waits for that, and takes over if it dies.
   *
   * @throws {LandfallError} INVALID_DIGEST (an algorithm that cannot be verified), SIZE_MISMATCH (it is here,
   *   in another size than the descriptor says), NO_SPACE, FILESYSTEM, ABORTED
   */
  ingest(descriptor: Descriptor, options?: IngestOptions): Promise<IngestWriter | undefined>;
  /**
   * All blobs, in no order.
   *
   * @throws {ContentError} FILESYSTEM, STORE_CORRUPT, while it is read
   */
  list(): AsyncIterable<BlobInfo>;
  /**
   * Replaces the labels of a blob, all of them.
   *
   * @throws {ContentError} BLOB_NOT_FOUND
   */
  update(digest: Digest, change: { readonly labels: Labels }): Promise<BlobInfo>;
  /**
   * Removes a blob; absent is not an error.
   *
   * @throws {ContentError} IN_USE while it is being written; FILESYSTEM
   */
  delete(digest: Digest): Promise<void>;
}

/** How a blob arrives. */
export interface IngestOptions extends Abortable {
  /** Where the bytes come from (`registry/repository`), recorded for a later repair. */
  readonly source?: string | undefined;
  /** Called now and then while the blob is in flight elsewhere, with how far that is. */
  readonly onWait?: (progress: IngestProgress) => void;
}

/** How far a blob is that is in flight elsewhere. */
export interface IngestProgress {
  /** Bytes that are here. */
  readonly bytes: number;
  /** Bytes of the whole; undefined where that is not known yet. */
  readonly size?: number;
}

/**
 * The one writer of an ingest. Writes may come in any order and overlap, of which the first to write a byte
 * wins; the running digest follows the offset. Disposing without `commit` keeps what has arrived, and a later
 * `ingest` of the same digest begins with it.
 */
export interface IngestWriter extends AsyncDisposable {
  /** What is to arrive. */
  readonly descriptor: Descriptor;
  /** Contiguous bytes from 0: what may be read. */
  readonly offset: number;
  /**
   * What has not arrived yet, in order; all of it where nothing was left by an earlier ingest, nothing where
   * it is whole.
   */
  missing(): readonly ByteSpan[];
  /**
   * The growing file, readable up to the offset; stays readable through an open descriptor after commit, when
   * this is the blob's own path. UNSUPPORTED where blobs are not files.
   */
  readonly path: string;
  /** Where the file is once `commit` has renamed it. */
  readonly committedPath: string;
  /** The offset as threads share it: the buffer of a `SharedOffset` (src/system). */
  readonly shared: SharedArrayBuffer;
  /**
   * Writes a chunk at an offset, and more chunks behind it, with one call where that can be. They are not
   * kept after the promise resolves, and must not change before.
   *
   * @throws {ContentError} SIZE_MISMATCH (past the descriptor's size), NO_SPACE, FILESYSTEM
   */
  write(at: number, ...chunks: readonly Uint8Array[]): Promise<void>;
  /**
   * Size, digest, fsync, rename, fsync of the directory, row: in this order; after it the blob is visible.
   *
   * @throws {ContentError} SIZE_MISMATCH (bytes missing: the partial stays), DIGEST_MISMATCH (the partial is
   *   discarded; retryable where a part of it was left by an earlier ingest, which may have been damaged
   *   since), NO_SPACE, FILESYSTEM
   */
  commit(): Promise<BlobInfo>;
  /**
   * Throws away what has arrived.
   *
   * @throws {ContentError} FILESYSTEM
   */
  discard(): Promise<void>;
}
