import {
  type Digest,
  formatReference,
  isDigest,
  parseDigest,
  parseReference,
  type Reference,
} from '../../spec/index.js';
import type { Labels, SnapshotInfo } from '../../unpack/index.js';

/** An image whose layers containerd prepares one by one. */
export interface RemoteImage {
  /** Of the manifest. */
  readonly reference: Pick<Reference, 'registry' | 'repository'> & { readonly digest: Digest };
  /** As it was asked for, canonical: by which credentials are kept, and by which policies know it. */
  readonly asked: string;
}

/**
 * The image that the labels of a snapshot name; undefined where they name none, or nothing that could be
 * pulled.
 */
export function remoteImageIn(labels: Labels): RemoteImage | undefined {
  const { [IMAGE_LABEL]: image, [MANIFEST_LABEL]: manifest } = labels;
  if (image === undefined || manifest === undefined) return undefined;
  try {
    const { registry, repository, ...asked } = parseReference(image, { defaultTag: true });
    return {
      reference: { registry, repository, digest: parseDigest(manifest) },
      asked: formatReference({ registry, repository, ...asked }),
    };
  } catch {
    return undefined;
  }
}

/**
 * The chain ID that a snapshot is to become, by which containerd finds it (containerd: metadata/snapshot.go).
 */
export const REF_LABEL = 'containerd.io/snapshot.ref';
/**
 * What containerd says of the image that a layer belongs to (containerd: pkg/snapshotters/annotations.go).
 */
const IMAGE_LABEL = 'containerd.io/snapshot/cri.image-ref';
const MANIFEST_LABEL = 'containerd.io/snapshot/cri.manifest-digest';

const UNPACKING = /(?:^|\/)extract-\S+ (\S+)$/;

/** The chain that a layer is unpacked to become, by containerd's key of it (snapshots.UnpackKeyFormat). */
export function chainIn(key: string): Digest | undefined {
  const [, chainId = ''] = UNPACKING.exec(key) ?? [];
  return isDigest(chainId) ? chainId : undefined;
}

/**
 * The messages of protos/containerd-snapshots-v1.proto as they arrive and are sent: absent messages are null,
 * absent texts empty, 64-bit numbers decimal text.
 */

export interface PrepareRequest {
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

export interface InfoMessage {
  readonly name: string;
  readonly parent: string;
  readonly kind: Uppercase<SnapshotInfo['kind']>;
  readonly createdAt: TimestampMessage;
  readonly updatedAt: TimestampMessage;
  readonly labels: Labels;
}

export interface TimestampMessage {
  readonly seconds: string;
  readonly nanos: number;
}
