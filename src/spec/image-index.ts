import { type Descriptor, parseDescriptor } from './descriptor.js';
import {
  type JsonObject,
  optionalList,
  optionalObject,
  optionalString,
  optionalStringMap,
  withFields,
} from './json-fields.js';
import { LIMITS } from './limits.js';

/** An OCI image index or a Docker manifest list (image-spec: image-index.md). Its entries may be indexes again. */
export interface ImageIndex {
  /** Tells indexes and manifests apart. */
  readonly kind: 'index';
  /** Its own. */
  readonly mediaType: string;
  /** All entries, those of unknown media type or without a platform included. */
  readonly manifests: readonly Descriptor[];
  /** What kind of artifact it describes. */
  readonly artifactType?: string;
  /** What it refers to (image-spec: the `subject` property). */
  readonly subject?: Descriptor;
  /** What its publisher says of it. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The index that a parsed document is. Unknown fields stay on the object. */
export function readImageIndex(raw: JsonObject, mediaType: string): ImageIndex {
  const subject = optionalObject(raw, 'subject', '');
  return withFields<ImageIndex>(raw, {
    kind: 'index',
    mediaType,
    manifests: optionalList(raw, 'manifests', '', LIMITS.indexManifests, parseDescriptor) ?? [],
    artifactType: optionalString(raw, 'artifactType', ''),
    subject: subject === undefined ? undefined : parseDescriptor(subject, 'subject'),
    annotations: optionalStringMap(raw, 'annotations', ''),
  });
}
