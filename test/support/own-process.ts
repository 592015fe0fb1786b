/**
 * Unit tests that get a process of their own, since they change or count what all of a process share, or
 * replace modules: another file in it would see that, or be counted too. Globs, so that a file may move
 * within its folder; `listed-files.test.ts` holds that it is there.
 */
export const CHANGES_ITS_PROCESS: readonly string[] = [
  // Modules that are replaced, or spied on.
  'test/content/**/shared-objects.test.ts',
  'test/registry/**/byte-rate-limit.test.ts',
  'test/engine/**/blob-download.test.ts',
  'test/engine/**/present-image.test.ts',
  'test/engine/**/require-room.test.ts',
  'test/serve/**/access.test.ts',
  'test/serve/**/bcrypt-thread.test.ts',
  'test/serve/**/pending-images.test.ts',
  'test/serve/**/registry-server.test.ts',
  'test/system/**/process-identity.test.ts',
  'test/transfer/**/store-transport.test.ts',
  'test/unpack/**/apply-layer.test.ts',
  'test/unpack/**/given-attributes.test.ts',
  'test/unpack/**/sweep-snapshots.test.ts',
  'test/unpack/**/link-limit.test.ts',
  'test/daemon/**/shared-objects.test.ts',
  'test/engine/**/shared-objects.test.ts',
  'test/registry/**/shared-objects.test.ts',
  'test/concurrency/**/shared-objects.test.ts',
  'test/unpack/**/shared-objects.test.ts',
  'test/transfer/**/shared-objects.test.ts',
  // A system call that is taken away for good, the umask, the user, the environment.
  'test/unpack/**/portable-resolver.test.ts',
  'test/metadata/**/open-read-only.test.ts',
  'test/registry/**/hosts-directory.test.ts',
  'test/system/**/at.test.ts',
  'test/system/**/thread-umask.test.ts',
  'test/unpack/**/layer-attributes.test.ts',
  'test/unpack/**/root-directory.test.ts',
  'test/unpack/**/umask-without-unshare.test.ts',
  'test/unpack/**/umask.test.ts',
  'test/unpack/**/worker-pool.test.ts',
  // Descriptors, memory, timers, listeners, and modules that are counted.
  'test/cli/**/loaded-modules.test.ts',
  'test/content/**/ingest-directory.test.ts',
  'test/engine/**/store.test.ts',
  'test/library/**/abort.test.ts',
  'test/library/**/nothing-global.test.ts',
  'test/library/**/pull.test.ts',
  'test/registry/**/docker-config.test.ts',
  'test/system/**/beneath.test.ts',
  'test/system/**/libc.test.ts',
  'test/unpack/**/blob-reader.test.ts',
  'test/unpack/**/read-root-file.test.ts',
  'test/unpack/**/gunzip.test.ts',
  'test/unpack/**/measure-usage.test.ts',
];
