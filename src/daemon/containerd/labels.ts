import {
  childrenOf,
  type Descriptor,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isManifestType,
} from '../../spec/index.js';
import type { Labels } from '../../unpack/index.js';

/** What containerd's CRI takes for its own (containerd: internal/cri/labels). */
export const CRI_IMAGE: Labels = { 'io.cri-containerd.image': 'managed' };
export const CRI_PINNED: Labels = { 'io.cri-containerd.pinned': 'pinned' };
/** On the records that landfall keeps, so that it can take them away again. */
export const OWN: Labels = { 'landfall.dev/managed': 'true' };
/** When a lease ends by itself, as RFC 3339 writes it. */
export const EXPIRE = 'containerd.io/gc.expire';

const CONTENT_REF = 'containerd.io/gc.ref.content';
const SNAPSHOT_GC_REF = 'containerd.io/gc.ref.snapshot';

/** Keeps the content below a manifest for as long as the manifest is kept (containerd: ChildGCLabels). */
export function childLabels(manifest: ImageManifest | ImageIndex): Labels {
  const labels: Record<string, string> = {};
  const counts = new Map<string, number>();
  for (const child of childrenOf(manifest)) {
    const key = refOf(child);
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    labels[count > 0 || key.endsWith('.') ? `${key}${count}` : key] = child.digest;
  }
  return labels;
}

/** Keeps the layers of an image for as long as its config is kept. */
export function chainLabels(snapshotter: string, chainId: string | undefined): Labels {
  return chainId === undefined ? {} : { [`${SNAPSHOT_GC_REF}.${snapshotter}`]: chainId };
}

function refOf({ mediaType }: Descriptor): string {
  if (isConfigType(mediaType)) return `${CONTENT_REF}.config`;
  if (isManifestType(mediaType)) return `${CONTENT_REF}.m.`;
  return isContainerdLayer(mediaType) ? `${CONTENT_REF}.l.` : `${CONTENT_REF}.`;
}

const DOCKER_LAYER =
  /^application\/vnd\.docker\.image\.rootfs\.(?:diff|foreign\.diff)\.tar(?:\.gzip)?(?:\+|$)/;

/** What containerd takes for a layer (containerd: images.IsLayerType). */
function isContainerdLayer(mediaType: string): boolean {
  return mediaType.startsWith('application/vnd.oci.image.layer.') || DOCKER_LAYER.test(mediaType);
}

/** Whether something has all of some labels. */
export function hasLabels(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([label, value]) => labels[label] === value);
}

/**
 * The layers that a daemon is just offering to its containerd, which asks the same daemon for them: its
 * snapshotter recognises these requests as its own.
 */
export class OwnOffers {
  readonly #keys = new Set<string>();

  /**
   * @param key of a snapshot, as it is asked for at containerd, which puts a namespace and a number before it
   */
  isOwn(key: string): boolean {
    return this.#keys.has(key.slice(key.lastIndexOf('/') + 1));
  }

  /** Makes an offer, known by a key without a slash until it ends. */
  async during<T>(key: string, offer: () => Promise<T>): Promise<T> {
    this.#keys.add(key);
    try {
      return await offer();
    } finally {
      this.#keys.delete(key);
    }
  }
}
