/**
 * Unit tests that get a process of their own, since they change or count what all of a process share, or replace modules: another file
 * in it would see that, or be counted too. `test/support/listed-files.test.ts` holds that the files are there.
 */
export const CHANGES_ITS_PROCESS: readonly string[] = [
  // Modules that are replaced, or spied on.
  'test/content/shared-objects.test.ts',
  'test/engine/pull/blob-download.test.ts',
  'test/engine/pull/present-image.test.ts',
  'test/serve/access/access.test.ts',
  'test/serve/access/bcrypt-thread.test.ts',
  'test/serve/pull-through/pending-images.test.ts',
  'test/serve/registry-server.test.ts',
  'test/system/process-identity.test.ts',
  'test/transfer/store-place.test.ts',
  'test/unpack/apply-layer.test.ts',
  'test/unpack/layer/given-attributes.test.ts',
  'test/unpack/snapshotters/sweep-snapshots.test.ts',
  'test/unpack/tree/link-limit.test.ts',
  // The umask, the user, the environment.
  'test/metadata/open-read-only.test.ts',
  'test/registry/hosts/hosts-directory.test.ts',
  'test/system/at.test.ts',
  'test/system/thread-umask.test.ts',
  'test/unpack/layer/layer-attributes.test.ts',
  'test/unpack/tree/root-directory.test.ts',
  'test/unpack/worker/umask-without-unshare.test.ts',
  'test/unpack/worker/umask.test.ts',
  'test/unpack/worker/worker-pool.test.ts',
  // Descriptors, memory, timers, listeners, and modules that are counted.
  'test/cli/loaded-modules.test.ts',
  'test/content/ingest-directory.test.ts',
  'test/engine/store.test.ts',
  'test/library/abort.test.ts',
  'test/library/nothing-global.test.ts',
  'test/library/pull.test.ts',
  'test/registry/auth/docker-config.test.ts',
  'test/system/beneath.test.ts',
  'test/system/libc.test.ts',
  'test/unpack/blob-reader.test.ts',
  'test/unpack/bundle/read-root-file.test.ts',
  'test/unpack/compression/gunzip.test.ts',
  'test/unpack/snapshotters/measure-usage.test.ts',
];
