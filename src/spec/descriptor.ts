import type { Digest } from './digest.js';
import {
  optionalObject,
  optionalString,
  optionalStringMap,
  optionalStrings,
  placeOf,
  readDigest,
  readObject,
  refuseAmbiguousCase,
  requiredSize,
  requiredString,
  withFields,
} from './json-fields.js';
import { parsePlatformObject, type Platform } from './platform.js';

/** Names content by what it is, its digest and its size (image-spec: descriptor.md). */
export interface Descriptor {
  /** What the content is. */
  readonly mediaType: string;
  /** Of its bytes. */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Of a manifest in an index: what it is for. */
  readonly platform?: Platform;
  /** What its publisher says of it. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Where else the content may be had. */
  readonly urls?: readonly string[];
  /** The content itself, in base64; to be verified like any other. */
  readonly data?: string;
  /** Of a manifest: what kind of artifact it describes. */
  readonly artifactType?: string;
}

const KEYS = [
  'mediaType',
  'digest',
  'size',
  'platform',
  'annotations',
  'urls',
  'data',
  'artifactType',
] as const;

/**
 * A descriptor from parsed JSON. Unknown fields stay on the object.
 *
 * @param where its place in the manifest, for messages: `layers[3]`
 * @throws {SpecError} INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const raw = readObject(value, where);
  refuseAmbiguousCase(raw, KEYS, where);
  const platform = optionalObject(raw, 'platform', where);
  return withFields<Descriptor>(raw, {
    mediaType: requiredString(raw, 'mediaType', where),
    digest: readDigest(raw['digest'], placeOf(where, 'digest')),
    size: requiredSize(raw, 'size', where),
    platform: platform === undefined ? undefined : parsePlatformObject(platform, placeOf(where, 'platform')),
    annotations: optionalStringMap(raw, 'annotations', where),
    urls: optionalStrings(raw, 'urls', where),
    data: optionalString(raw, 'data', where),
    artifactType: optionalString(raw, 'artifactType', where),
  });
}
