import { closeSync } from 'node:fs';
import { type ImageConfig, LIMITS } from '../../spec/index.js';
import { filesystemError } from '../filesystem-error.js';
import { openTree } from '../tree/tree-walk.js';
import { convertConfig, type ConvertOptions } from './convert-config.js';
import { resolveUser } from './process-user.js';
import { readRootFile } from './read-root-file.js';
import type { RuntimeConfig } from './runtime-config.js';

/** All but the user, who is found in the root file system. */
export type BundleConfigOptions = Omit<ConvertOptions, 'user'>;

/**
 * The runtime configuration of an image whose root file system lies at `rootfs`, where its user is looked up.
 *
 * @throws {SpecError} INVALID_MANIFEST for a user that is not there
 * @throws {UnpackError} LIMIT_EXCEEDED for a list of users without end, FILESYSTEM where it cannot be read
 */
export function bundleConfig(rootfs: string, config: ImageConfig, o: BundleConfigOptions): RuntimeConfig {
  try {
    const root = openTree(rootfs);
    try {
      const user = resolveUser(config.config?.User ?? '', (path) => {
        return readRootFile(root, path, { limit: LIMITS.accountBytes })?.toString('latin1') ?? '';
      });
      return convertConfig(config, { ...o, user });
    } finally {
      closeSync(root);
    }
  } catch (error) {
    throw filesystemError(error, 'looking up the user of the image', { path: rootfs });
  }
}
