import type { ErrorJson } from '../../errors.js';
import type { Digest, UnpackLimits, VerifiableAlgorithm } from '../../spec/index.js';
import type { Compression, Decompressor } from '../compression/decompress.js';
import type { InflateChoice } from '../compression/inflate-choice.js';
import type { LayerBudget } from './shared-memory.js';
import type { LayerChanges, LayerForm } from '../terms/layer-changes.js';
import type { Ownership } from '../terms/ownership.js';

/** A layer to extract, as it is sent to a worker thread. */
export interface ApplyJob {
  readonly kind: 'apply';
  /** The blob's digest, for errors. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** The compressed blob, whole or growing. */
  readonly blobPath: string;
  /** Where the blob lies once it is committed, which may be before its file was opened at `blobPath`. */
  readonly committedPath?: string | undefined;
  /** Bytes of the whole blob. */
  readonly blobSize: number;
  /** The blob's offset while it grows; absent when it is whole. */
  readonly sharedOffset?: SharedArrayBuffer | undefined;
  /** An empty directory. */
  readonly directory: string;
  /** Of the diffId that the result is to be held against. Default sha256. */
  readonly diffIdAlgorithm?: VerifiableAlgorithm;
  /** The layer's share of its image's bytes; absent where it stands for itself. */
  readonly budget?: LayerBudget | undefined;
  readonly options: ApplyOptions;
}

export interface ApplyOptions {
  readonly ownership: Ownership;
  /** Whether device nodes are made, where they can be; those that are not are told. */
  readonly devices: boolean;
  readonly limits: UnpackLimits;
  readonly inflate: InflateChoice;
}

/** A device node that a layer has and that could not be made. */
export interface OmittedDevice {
  /** Below the root, as the archive has it. */
  readonly path: string;
  /** Of blocks or of characters. */
  readonly type: 'character' | 'block';
  /** As mknod(2) has it. */
  readonly major: number;
  /** As mknod(2) has it. */
  readonly minor: number;
}

/** What a worker makes of a layer. */
export interface ApplyResult {
  /** Digest of the uncompressed tar, computed over all of its bytes. */
  readonly diffId: Digest;
  readonly changes: LayerChanges;
  readonly entries: number;
  /** Bytes of the uncompressed tar. */
  readonly uncompressedSize: number;
  readonly compression: Compression;
  readonly decompressor: Decompressor;
  /** In the archive's order; only the first thousand of them. */
  readonly omitted: readonly OmittedDevice[];
  /** Each said once, for people. */
  readonly warnings: readonly string[];
  /** Milliseconds that it took, without those in which there was no byte to read yet. */
  readonly workMs: number;
}

/** Makes an extracted layer one of overlayfs, on its parents, in a worker. */
export interface CompleteJob {
  readonly kind: 'complete';
  readonly directory: string;
  readonly form: LayerForm;
  /** The parents' directories, completed in the same form, topmost first. */
  readonly parents: readonly string[];
  readonly changes: LayerChanges;
}

/**
 * Moves an extracted layer over the merged tree below it, in a worker. The layer's directory is empty after
 * it.
 */
export interface MergeJob {
  readonly kind: 'merge';
  readonly directory: string;
  /** The merged tree to change. */
  readonly target: string;
  readonly changes: LayerChanges;
}

/** Copies a merged tree with all its metadata, by reflink where the file system has it, in a worker. */
export interface CopyTreeJob {
  readonly kind: 'copy';
  readonly source: string;
  /** An empty directory. */
  readonly target: string;
}

/** Writes a directory's file system to the disk, in a worker since it may take seconds. */
export interface SyncJob {
  readonly kind: 'sync';
  readonly directory: string;
}

/** Holds a tree against the one that it should be, in a worker. */
export interface CompareJob {
  readonly kind: 'compare';
  readonly expected: string;
  readonly actual: string;
  /** So many differences are told at most. */
  readonly limit: number;
}

export type WorkerJob = ApplyJob | CompleteJob | MergeJob | CopyTreeJob | SyncJob | CompareJob;
export interface WarningsResult {
  readonly warnings: readonly string[];
}

export interface CompareResult {
  /** One line each, which begins with the path. */
  readonly differences: readonly string[];
}

/** What each kind of job answers. */
export interface JobResults {
  apply: ApplyResult;
  complete: WarningsResult;
  merge: WarningsResult;
  copy: WarningsResult;
  sync: WarningsResult;
  compare: CompareResult;
}

export type WorkerRequest = { readonly job: WorkerJob; readonly id: number } | { readonly abort: number };
export type WorkerReply =
  /** Once, before any other: it takes jobs. */
  | { readonly ready: true }
  | { readonly id: number; readonly result: JobResults[keyof JobResults] }
  | { readonly id: number; readonly error: ErrorJson }
  /** Compressed bytes consumed so far. */
  | { readonly id: number; readonly progress: number };
