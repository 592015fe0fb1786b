import { SpecError } from '../errors.js';
import { type Descriptor, parseDescriptor } from './descriptor.js';
import {
  invalidField,
  type JsonObject,
  optionalList,
  optionalObject,
  optionalString,
  optionalStringMap,
  parseJson,
  readObject,
  refuseAmbiguousCase,
  withFields,
} from './json-fields.js';
import { LIMITS } from './limits.js';
import { bareMediaType, isDockerSchema1, isIndexType, isManifestType, MEDIA_TYPES } from './media-types.js';
import { quoted } from './quoted.js';

/** An OCI image manifest or a Docker schema 2 manifest (image-spec: manifest.md). */
export interface ImageManifest {
  /** Tells indexes and manifests apart. */
  readonly kind: 'manifest';
  /** Its own. */
  readonly mediaType: string;
  /** Of an image its config, under a type that says so; of an artifact whatever there is. */
  readonly config: Descriptor;
  /** Bottom first. Of any media type: an artifact's layers need not be tars. */
  readonly layers: readonly Descriptor[];
  /** What kind of artifact it describes. */
  readonly artifactType?: string;
  /** What it refers to (image-spec: the `subject` property). */
  readonly subject?: Descriptor;
  /** What its publisher says of it. */
  readonly annotations?: Readonly<Record<string, string>>;
}

const KEYS = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'subject',
  'annotations',
] as const;

/** Content types that servers give when they do not know better: they say nothing. */
const GENERIC_TYPES: ReadonlySet<string> = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
]);

/**
 * What Docker 1.10, and registries of its time, called the configs of images. Docker takes such manifests for
 * images still.
 */
const EARLY_CONFIG_TYPES: ReadonlySet<string> = new Set([
  'application/octet-stream',
  'application/json',
  'text/html',
]);

/**
 * Parses the bytes of a manifest or an index. Callers keep the bytes: the digest is of them, and nothing here
 * writes them again.
 *
 * @param mediaType what the descriptor or the Content-Type said, if anything; its parameters are ignored
 * @throws {SpecError} INVALID_MANIFEST also where body and `mediaType` differ, or the body could be read as
 *   both (CVE-2021-41190); UNSUPPORTED_MEDIA_TYPE for Docker schema 1 and for what is neither;
 *   INVALID_DIGEST; LIMIT_EXCEEDED
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): ImageManifest | ImageIndex {
  const said = mediaType === undefined ? '' : bareMediaType(mediaType);
  if (isDockerSchema1(said)) throw schema1();
  const raw = readObject(parseJson(bytes, 'manifest', LIMITS.manifestBytes), '');
  refuseAmbiguousCase(raw, KEYS, '');
  const type = typeOf(raw, GENERIC_TYPES.has(said) ? undefined : said);
  return isIndexType(type) ? readImageIndex(raw, type) : readImageManifest(raw, type);
}

/** The media type of a manifest, once all that says something about it agrees. */
function typeOf(raw: JsonObject, said: string | undefined): string {
  const own = optionalString(raw, 'mediaType', '');
  const body = own === '' ? undefined : own;
  const version = raw['schemaVersion'];
  if (version === 1 || (body !== undefined && isDockerSchema1(body))) throw schema1();
  if (version !== undefined && version !== 2) throw invalidField('schemaVersion', 'must be 2');
  if (said !== undefined && body !== undefined && said !== body) {
    throw new SpecError(
      'INVALID_MANIFEST',
      `the manifest calls itself ${quoted(body)} but was described as ${quoted(said)}`,
      { details: { expected: said, actual: body } },
    );
  }
  const type = said ?? body;
  const fields = kindByFields(raw);
  if (type === undefined) {
    if (fields === undefined)
      throw new SpecError('INVALID_MANIFEST', 'the document is neither an image nor an index');
    return fields === 'index' ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest;
  }
  if (!isIndexType(type) && !isManifestType(type)) {
    throw new SpecError(
      'UNSUPPORTED_MEDIA_TYPE',
      `${quoted(type)} is neither an image manifest nor an index`,
      {
        hint: 'Name an image: this is some other kind of artifact.',
        details: { mediaType: type },
      },
    );
  }
  if (isIndexType(type) !== (fields === 'index')) {
    throw new SpecError('INVALID_MANIFEST', `the manifest has not the fields of ${quoted(type)}`);
  }
  return type;
}

function kindByFields(raw: JsonObject): 'manifest' | 'index' | undefined {
  const manifest = Object.hasOwn(raw, 'config') || Object.hasOwn(raw, 'layers');
  const index = Object.hasOwn(raw, 'manifests');
  if (manifest && index) {
    throw new SpecError('INVALID_MANIFEST', 'the manifest can be read both as an image and as an index');
  }
  return index ? 'index' : manifest ? 'manifest' : undefined;
}

function readImageManifest(raw: JsonObject, mediaType: string): ImageManifest {
  if (!Object.hasOwn(raw, 'layers')) throw invalidField('layers', 'is missing');
  const subject = optionalObject(raw, 'subject', '');
  return withFields<ImageManifest>(raw, {
    kind: 'manifest',
    mediaType,
    config: configOf(parseDescriptor(raw['config'], 'config'), mediaType),
    layers: optionalList(raw, 'layers', '', LIMITS.manifestLayers, parseDescriptor) ?? [],
    artifactType: optionalString(raw, 'artifactType', ''),
    subject: subject === undefined ? undefined : parseDescriptor(subject, 'subject'),
    annotations: optionalStringMap(raw, 'annotations', ''),
  });
}

function configOf(config: Descriptor, manifestType: string): Descriptor {
  const isEarly = manifestType === MEDIA_TYPES.dockerManifest && EARLY_CONFIG_TYPES.has(config.mediaType);
  return isEarly ? { ...config, mediaType: MEDIA_TYPES.dockerConfig } : config;
}

function schema1(): SpecError {
  return new SpecError(
    'UNSUPPORTED_MEDIA_TYPE',
    'the image has a Docker schema 1 manifest, which is obsolete',
    {
      hint: 'Push the image again with a current tool, or convert it: skopeo copy --format oci docker://OLD docker://NEW.',
      details: { mediaType: MEDIA_TYPES.dockerSchema1 },
    },
  );
}

/**
 * What a manifest consists of: the config and then the layers, or the entries of an index. Never its subject.
 */
export function childrenOf(document: ImageManifest | ImageIndex): Descriptor[] {
  return document.kind === 'index' ? [...document.manifests] : [document.config, ...document.layers];
}

/**
 * An OCI image index or a Docker manifest list (image-spec: image-index.md). Its entries may be indexes
 * again.
 */
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

/** The index that a parsed manifest is. Unknown fields stay on the object. */
function readImageIndex(raw: JsonObject, mediaType: string): ImageIndex {
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
