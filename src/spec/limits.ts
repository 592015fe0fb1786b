const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** The name of a limit. */
export type Limit =
  | 'manifestBytes'
  | 'configBytes'
  | 'jsonDepth'
  | 'registryLength'
  | 'referenceLength'
  | 'tagLength'
  | 'digestLength'
  | 'indexDepth'
  | 'indexManifests'
  | 'manifestLayers'
  | 'layers'
  | 'annotations'
  | 'listItems'
  | 'entriesPerLayer'
  | 'notedBytes'
  | 'layerBytes'
  | 'imageBytes'
  | 'compressionRatio'
  | 'compressionRatioFrom'
  | 'lowSpaceRatio'
  | 'lowSpacePercent'
  | 'pathBytes'
  | 'nameBytes'
  | 'linkBytes'
  | 'pathDepth'
  | 'paxBytes'
  | 'xattrNameBytes'
  | 'xattrListBytes'
  | 'xattrBytes'
  | 'indexBytes'
  | 'accountBytes'
  | 'processGroups'
  | 'signatures'
  | 'signatureBytes'
  | 'allSignatureBytes';

/**
 * Every size limit on untrusted input, in one place. What exceeds one is refused with LIMIT_EXCEEDED.
 * Each stands well above what an honest image has, so that none is met by accident.
 */
export const LIMITS: Readonly<Record<Limit, number>> = {
  /**
   * A manifest or an index, in bytes. distribution-spec asks registries to take at least 4 MiB; peers stop
   * there too.
   */
  manifestBytes: 4 * MiB,
  /**
   * An image config, in bytes. Generated labels and histories reach some 100 KiB; nothing honest reaches
   * this.
   */
  configBytes: 8 * MiB,
  /**
   * Nesting of JSON. Real manifests have less than 10; this keeps recursion far from the end of the stack.
   */
  jsonDepth: 64,
  /** `host:port`, in characters: a DNS name has at most 253, a port with its colon 6. */
  registryLength: 259,
  /** The repository of a reference, in characters. The distribution reference grammar. */
  referenceLength: 255,
  /** A tag, in characters. The distribution reference grammar. */
  tagLength: 128,
  /**
   * A digest, in characters. It becomes a file name, which has at most 255 bytes; sha512 has 135 characters.
   */
  digestLength: 200,
  /**
   * Indexes within indexes. Real ones have one level, two at most; an index cannot hold itself, so only a
   * bomb is deep.
   */
  indexDepth: 8,
  /** Entries of one index. Large multi-platform images with attestations have about 60. */
  indexManifests: 10_000,
  /**
   * Layers that one manifest lists: far beyond what can be mounted, so that even such an image can be copied.
   */
  manifestLayers: 10_000,
  /** Layers of an image that is unpacked: as many as one overlay mount can hold. */
  layers: 500,
  /** Annotations of one object, or labels of one config. */
  annotations: 10_000,
  /** Items of any other list: URLs, environment, arguments, history, features. */
  listItems: 10_000,
  /**
   * Entries of one layer, and xattrs beyond one for each. The largest machine-learning images have some
   * 500,000.
   */
  entriesPerLayer: 2_000_000,
  /**
   * What the directories, whiteouts and waiting links of a layer take in memory while it is extracted, in
   * bytes: some 250,000 directories.
   */
  notedBytes: 192 * MiB,
  /** One layer uncompressed, in bytes. Layers with model weights reach 100 GiB. */
  layerBytes: 512 * GiB,
  /** All layers of an image uncompressed, in bytes. */
  imageBytes: 1024 * GiB,
  /**
   * Uncompressed to compressed. gzip cannot pass 1032 to 1; zstd can, on zeros, but not over a whole honest
   * layer.
   */
  compressionRatio: 1_100,
  /** The ratio counts only beyond so many uncompressed bytes, since a small layer of zeros is honest. */
  compressionRatioFrom: GiB,
  /**
   * Uncompressed to compressed where the disk is nearly full, which a small layer is not to fill up. Layers
   * of programs reach 4, of text 10, of disk images that are mostly zeros 50.
   */
  lowSpaceRatio: 100,
  /** Of the disk, free: below it the kubelet evicts pods (Kubernetes: imagefs.available). */
  lowSpacePercent: 15,
  /** A path within a layer, in bytes: the kernel's PATH_MAX. */
  pathBytes: 4096,
  /** One component of a path, in bytes: NAME_MAX of every Linux file system. */
  nameBytes: 255,
  /** The target of a symbolic link, in bytes: PATH_MAX. */
  linkBytes: 4096,
  /** Components of a path. node_modules at its worst has about 60. */
  pathDepth: 1024,
  /**
   * All pax records or one GNU long name before an entry, in bytes: room for the xattrs below, in an encoding
   * that doubles them.
   */
  paxBytes: MiB,
  /** The name of an xattr, in bytes: the kernel's XATTR_NAME_MAX. */
  xattrNameBytes: 255,
  /** The names of all xattrs of one file with a NUL after each, in bytes: the kernel's XATTR_LIST_MAX. */
  xattrListBytes: 64 * KiB,
  /** The value of an xattr, in bytes: the kernel's XATTR_SIZE_MAX. */
  xattrBytes: 64 * KiB,
  /**
   * What the names and attributes of an image that is read without being unpacked take in memory, in bytes:
   * some 2,500,000 files.
   */
  indexBytes: GiB,
  /**
   * `/etc/passwd` or `/etc/group` of an image, in bytes. One that a whole company is listed in has some 100
   * KiB.
   */
  accountBytes: 4 * MiB,
  /** Additional groups of a process: the kernel's NGROUPS_MAX. */
  processGroups: 65_536,
  /**
   * Signatures of one manifest or index, and what refers to it and may hold some. An image that many have
   * signed has a dozen.
   */
  signatures: 256,
  /**
   * One signature: a payload or a bundle, in bytes. Those with a long chain of certificates have some 20 KiB.
   */
  signatureBytes: 4 * MiB,
  /** All signatures of one manifest or index with what they lie in, in bytes. */
  allSignatureBytes: 16 * MiB,
};

/** A limit on what is unpacked, which whoever unpacks may set otherwise. */
export type UnpackLimit =
  | 'layers'
  | 'imageBytes'
  | 'layerBytes'
  | 'entriesPerLayer'
  | 'notedBytes'
  | 'compressionRatio'
  | 'lowSpaceRatio'
  | 'pathBytes'
  | 'pathDepth'
  | 'linkBytes'
  | 'paxBytes'
  | 'xattrBytes'
  | 'indexBytes';
/** Bounds on what is unpacked. Bytes, but for counts and ratios. */
export type UnpackLimits = Readonly<Record<UnpackLimit, number>>;

/** All limits on what is unpacked: those given, and the defaults for the others. */
export function unpackLimits(given: Partial<UnpackLimits> = {}): UnpackLimits {
  return { ...LIMITS, ...given };
}
