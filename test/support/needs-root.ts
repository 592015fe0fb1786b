/** Tests that hold what only root can do: owners, devices, file capabilities, mounts, files of others. */
export const NEEDS_ROOT: readonly string[] = [
  'test/content/crash.test.ts',
  'test/content/local-content-store.test.ts',
  'test/e2e/kill.test.ts',
  'test/e2e/pull-debian.test.ts',
  'test/scripts/render-tree.test.ts',
  'test/unpack/apply-layer.test.ts',
  'test/unpack/complete-layer.test.ts',
  'test/unpack/containment.test.ts',
  'test/unpack/copy-tree.test.ts',
  'test/unpack/forms-agree.test.ts',
  'test/unpack/layer-writer.test.ts',
  'test/unpack/unpack-tree.test.ts',
  'test/unpack/unpacker.test.ts',
  'test/unpack/snapshotters/native.test.ts',
  'test/unpack/snapshotters/overlay.test.ts',
];

export const isRoot: boolean = process.getuid?.() === 0;
