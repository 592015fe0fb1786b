import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LandfallError, throwIfAborted } from '../errors.js';
import { tellingCaller } from '../system/caller-callback.js';
import {
  bundleConfig,
  CALLERS,
  callersMappings,
  checkIdRanges,
  claimDirectory,
  filesystemError,
  type IdMappings,
  type IdRange,
  type Ownership,
  requireConvertible,
  type RuntimeConfig,
  unmappedIds,
} from '../unpack/index.js';
import { loadImage } from './image.js';
import { unpackImage, type UnpackImageOptions, type UnpackImageResult } from './unpack.js';

export interface BundleImageOptions extends Omit<UnpackImageOptions, 'ownership'> {
  /** For who is not root: a user namespace that has only the caller, as its root, and whose files all are. */
  readonly rootless?: boolean;
  /** A user namespace with these IDs, to which the root file system is given too. Takes `gidMap` beside it. */
  readonly uidMap?: readonly IdRange[] | undefined;
  /** The same for groups. Takes `uidMap` beside it. */
  readonly gidMap?: readonly IdRange[] | undefined;
  /** Whether the process gets a terminal of its own. Default false. */
  readonly terminal?: boolean;
}

/** What {@link bundleImage} has made. */
export interface BundleImageResult extends UnpackImageResult {
  /** What config.json says. */
  readonly config: RuntimeConfig;
  /** For people: what keeps a runtime from starting it. */
  readonly warnings: readonly string[];
}

const ROOT = 'rootfs';

/**
 * Makes an OCI runtime bundle (runtime-spec: bundle.md) in a directory that is absent or empty: `rootfs`, the image's
 * merged root file system, and `config.json`. On failure or abort the directory is left as it was found.
 *
 * A directory that is made for it is closed to other users, since the root file system may hold setuid programs; in a
 * user namespace of other IDs they may pass through it, since the container's root is one of them.
 * Errors: INVALID_CONFIG (the directory is not empty; `uidMap` without `gidMap`), UNSUPPORTED (not for Linux),
 * INVALID_MANIFEST (a config that nothing can run), and those of {@link unpackImage}.
 */
export async function bundleImage(options: BundleImageOptions): Promise<BundleImageResult> {
  return await tellingCaller(options, (telling) => bundleTelling({ ...options, ...telling }));
}

async function bundleTelling(options: BundleImageOptions): Promise<BundleImageResult> {
  const { content, target, platform, directory, rootless = false, terminal = false, signal } = options;
  const { mappings, ownership } = idsOf(options);
  const image = await loadImage(content, target, platform);
  requireConvertible(image.config);
  throwIfAborted(signal);
  const place = await claimDirectory(directory);
  try {
    if (place.created) await chmod(place.path, options.uidMap === undefined ? 0o700 : 0o711);
    const rootfs = join(place.path, ROOT);
    const unpacked = await unpackImage({ ...options, ...ownership, directory: rootfs });
    const config = bundleConfig(rootfs, image.config, { root: ROOT, rootless, terminal, mappings });
    await writeFile(join(place.path, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
    return { ...unpacked, config, warnings: warningsOf(config, mappings) };
  } catch (error) {
    await place.undo();
    throw filesystemError(error, `making a bundle in ${directory}`, { path: directory });
  }
}

/** The container's user namespace, if it has one, and whom its files belong to outside of it. */
function idsOf({ rootless = false, uidMap, gidMap }: BundleImageOptions): {
  readonly mappings: IdMappings | undefined;
  readonly ownership: { readonly ownership?: Ownership };
} {
  if (!rootless && uidMap === undefined && gidMap === undefined)
    return { mappings: undefined, ownership: {} };
  for (const ranges of [uidMap, gidMap]) checkIdRanges(ranges ?? []);
  const callers = rootless ? callersMappings() : undefined;
  const [uid, gid] = [uidMap ?? callers?.uid, gidMap ?? callers?.gid];
  if (uid === undefined || gid === undefined) {
    throw new LandfallError(
      'INVALID_CONFIG',
      'a user namespace takes both a map of users and one of groups',
      {
        hint: 'Give --uid-map and --gid-map, or --rootless.',
      },
    );
  }
  const ownership = { uid: uidMap ?? CALLERS.uid, gid: gidMap ?? CALLERS.gid };
  return { mappings: { uid, gid }, ownership: { ownership } };
}

function warningsOf({ process: { user } }: RuntimeConfig, mappings: IdMappings | undefined): string[] {
  const missing = mappings === undefined ? [] : unmappedIds(user, mappings);
  if (missing.length === 0) return [];
  return [
    `the image runs as ${missing.join(', ')}, which the user namespace does not have; no runtime starts it so`,
  ];
}
