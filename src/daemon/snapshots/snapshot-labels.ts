import { type Digest, isDigest } from '../../spec/index.js';

/** The chain ID that a snapshot is to become, by which containerd finds it (containerd: metadata/snapshot.go). */
export const REF_LABEL = 'containerd.io/snapshot.ref';
/** What containerd says of the image that a layer belongs to (containerd: pkg/snapshotters/annotations.go). */
export const IMAGE_LABEL = 'containerd.io/snapshot/cri.image-ref';
export const MANIFEST_LABEL = 'containerd.io/snapshot/cri.manifest-digest';

const UNPACKING = /(?:^|\/)extract-\S+ (\S+)$/;

/** The chain that a layer is unpacked to become, by containerd's key of it (snapshots.UnpackKeyFormat). */
export function chainIn(key: string): Digest | undefined {
  const [, chainId = ''] = UNPACKING.exec(key) ?? [];
  return isDigest(chainId) ? chainId : undefined;
}
