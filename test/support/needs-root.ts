/** Tests that hold what only root can do: owners, devices, file capabilities, mounts, files of others. */
export const NEEDS_ROOT: readonly string[] = [
  'test/e2e/additional-root.test.ts',
  'test/e2e/archive-faults.test.ts',
  'test/e2e/archive-peers.test.ts',
  'test/e2e/bundle.test.ts',
  'test/e2e/containerd.test.ts',
  'test/e2e/containerd-fault-points.test.ts',
  'test/e2e/containerd-mid-pull.test.ts',
  'test/e2e/containerd-removal.test.ts',
  'test/e2e/containerd-restart.test.ts',
  'test/e2e/daemon-aborts.test.ts',
  'test/e2e/damage.test.ts',
  'test/e2e/docs-commands.test.ts',
  'test/e2e/eight-processes.test.ts',
  'test/e2e/export.test.ts',
  'test/e2e/fault-points.test.ts',
  'test/e2e/full-disk.test.ts',
  'test/e2e/kill.test.ts',
  'test/e2e/layout-in-use.test.ts',
  'test/e2e/other-users.test.ts',
  'test/e2e/power-cut.test.ts',
  'test/e2e/pull-debian.test.ts',
  'test/e2e/reflink.test.ts',
  'test/e2e/real-images.test.ts',
  'test/e2e/many-layers.test.ts',
  'test/e2e/serve-full-disk.test.ts',
  'test/e2e/serve-mirror.test.ts',
  'test/e2e/serve-peers.test.ts',
  'test/e2e/snapshotter-suite.test.ts',
  'test/e2e/unit-restrictions.test.ts',
  'test/support/power-cut-disk.test.ts',
  'test/unpack/corpus/extraction.test.ts',
  'test/unpack/corpus/odd-archives.test.ts',
  'test/unpack/export/gnu-tar.test.ts',
];

export const isRoot: boolean = process.getuid?.() === 0;

/** How unshare makes a mount namespace: who is not root needs a user namespace for it. */
export const MOUNT_NAMESPACE: string = isRoot ? '-m' : '-Urm';

/** Whether this is `npm run test:unprivileged`: what root alone can do is tested by another pass. */
export const isUnprivilegedPass: boolean = process.env['LANDFALL_UNPRIVILEGED'] === '1';
