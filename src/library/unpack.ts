import {
  bundleTarget,
  type BundleImageOptions,
  type BundleImageResult,
  exportTarget,
  type ExportImageOptions,
  type ExportImageResult,
  unpackTarget,
  type UnpackImageOptions,
  type UnpackImageResult,
} from '../engine/files/unpack.js';
import { resolveImage } from '../engine/images/names.js';
import type { Store } from '../engine/store.js';
import { throwIfAborted } from '../errors.js';
import type { Platform } from '../spec/index.js';

/** The options that the store decides. */
type OfStore = 'content' | 'target' | 'pool' | 'directory' | 'platform';

/** Which of an image's platforms is taken. */
export interface PlatformOption {
  /** Default: this machine's, else the only one that is here. */
  readonly platform?: Platform;
}

/** How an image's root file system is written into a directory. */
export interface UnpackOptions extends Omit<UnpackImageOptions, OfStore>, PlatformOption {}
/** How an image's root file system is written as a tar. */
export interface ExportOptions extends Omit<ExportImageOptions, OfStore>, PlatformOption {}
/** How a runtime bundle is made of an image. */
export interface BundleOptions extends Omit<BundleImageOptions, OfStore>, PlatformOption {}

/**
 * Writes an image's merged root file system into a directory, without mounts and without snapshots. On
 * failure or abort the directory is left as it was found.
 *
 * @param name of an image of the store, as a person would write it: `alpine:3`, a digest, an image ID
 * @param directory absent or empty
 * @returns what was unpacked
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image), NO_SPACE, FILESYSTEM
 * - {@link SpecError} INVALID_REFERENCE, NO_MATCHING_PLATFORM, UNSUPPORTED_MEDIA_TYPE
 * - {@link UnpackError} INVALID_CONFIG (the directory is not empty); UNSAFE_PATH, BAD_ARCHIVE,
 *   DIFF_ID_MISMATCH and the like for a bad layer; NO_SPACE, FILESYSTEM
 * - {@link LandfallError} ABORTED
 */
export async function unpackImage(
  store: Store,
  name: string,
  directory: string,
  options: UnpackOptions = {},
): Promise<UnpackImageResult> {
  return await unpackTarget({ ...options, ...(await inStore(store, name, options)), directory });
}

/**
 * Gives an image's merged root file system as one tar, as {@link unpackImage} would leave it as root, without
 * privileges. When it resolves, all layers are verified; the tar is made while it is read, and breaking off
 * is allowed.
 *
 * @param name of an image of the store, as a person would write it
 * @returns the tar and what it is of
 * @throws as {@link unpackImage}, while the archive is read too: what came until then is of no use
 */
export async function exportImage(
  store: Store,
  name: string,
  options: ExportOptions = {},
): Promise<ExportImageResult> {
  return await exportTarget({ ...options, ...(await inStore(store, name, options)) });
}

/**
 * Makes an OCI runtime bundle (runtime-spec: bundle.md) of an image: `rootfs` and `config.json`, for `runc
 * run --bundle`. On failure or abort the directory is left as it was found.
 *
 * @param name of an image of the store, as a person would write it
 * @param directory absent or empty
 * @returns what `config.json` says, and what may keep a runtime from starting it
 * @throws as {@link unpackImage}; {@link LandfallError} UNSUPPORTED (an image that is not for Linux),
 *   INVALID_CONFIG (`uidMap` without `gidMap`); {@link SpecError} INVALID_MANIFEST (a config that nothing can
 *   run)
 */
export async function bundleImage(
  store: Store,
  name: string,
  directory: string,
  options: BundleOptions = {},
): Promise<BundleImageResult> {
  return await bundleTarget({ ...options, ...(await inStore(store, name, options)), directory });
}

async function inStore(
  store: Store,
  name: string,
  { signal, limits = store.limits, inflate = store.inflate }: UnpackOptions,
): Promise<Pick<UnpackImageOptions, 'content' | 'target' | 'pool' | 'limits' | 'inflate'>> {
  throwIfAborted(signal);
  const { target } = await resolveImage(store, name);
  return { content: store.content, target, pool: store.pool, limits, inflate };
}
