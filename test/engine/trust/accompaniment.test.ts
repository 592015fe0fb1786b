import { describe, expect, it } from 'vitest';

import { accompanies, isAccompaniment, subjectOfCosignTag } from '../../../src/engine/trust/accompaniment.js';
import {
  type Descriptor,
  digestOf,
  type ImageManifest,
  MEDIA_TYPES,
  parseManifest,
} from '../../../src/spec/index.js';

const HEX = 'a'.repeat(64);
const SUBJECT = { mediaType: MEDIA_TYPES.ociIndex, digest: `sha256:${HEX}`, size: 100 };
const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json';

interface Fields {
  readonly config?: string;
  readonly layers?: readonly string[];
  readonly subject?: boolean;
}

function documentOf({ config = MEDIA_TYPES.ociEmpty, layers = ['text/plain'], subject }: Fields): object {
  const blob = (mediaType: string): object => ({ mediaType, digest: `sha256:${HEX}`, size: 2 });
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: blob(config),
    layers: layers.map(blob),
    ...(subject === true ? { subject: SUBJECT } : {}),
  };
}

function manifest(fields: Fields): ImageManifest {
  const manifestOrIndex = parseManifest(
    Buffer.from(JSON.stringify(documentOf(fields))),
    MEDIA_TYPES.ociManifest,
  );
  if (manifestOrIndex.kind !== 'manifest') throw new Error('it is none');
  return manifestOrIndex;
}

/** Manifests by their digests, to be read. */
class ManifestNodes {
  readonly #bytes = new Map<string, Buffer>();

  add(mediaType: string, manifestOrIndex: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(manifestOrIndex));
    const digest = digestOf(bytes);
    this.#bytes.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  index(manifests: readonly Descriptor[], more: object = {}): Descriptor {
    return this.add(MEDIA_TYPES.ociIndex, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests,
      ...more,
    });
  }

  readonly read = ({ digest }: Descriptor): Promise<Buffer> =>
    Promise.resolve(this.#bytes.get(digest) ?? Buffer.alloc(0));
}

describe('what accompanies an image', () => {
  const ROWS: readonly [string, boolean, Fields, string | undefined][] = [
    [
      'a signature by its tag',
      true,
      { config: MEDIA_TYPES.ociConfig, layers: [SIMPLE_SIGNING] },
      `sha256-${HEX}.sig`,
    ],
    [
      'an attestation by its tag',
      true,
      { layers: ['application/vnd.dsse.envelope.v1+json'] },
      `sha256-${HEX}.att`,
    ],
    [
      'an SBOM by its tag',
      true,
      { config: MEDIA_TYPES.ociConfig, layers: ['text/spdx+json'] },
      `sha256-${HEX}.sbom`,
    ],
    ['what refers to it, by its digest', true, { subject: true }, undefined],
    ['what refers to nothing', false, {}, undefined],
    ['what refers to it, with a tag of its own', false, { subject: true }, 'chart'],
    ['a tag that only looks like one of cosign', false, { subject: true }, `sha256-${HEX}.sig2`],
    [
      'an image under the tag of a signature',
      false,
      { config: MEDIA_TYPES.ociConfig, layers: [MEDIA_TYPES.ociLayerGzip] },
      `sha256-${HEX}.sig`,
    ],
    [
      'an image that refers to another',
      false,
      { subject: true, config: MEDIA_TYPES.dockerConfig, layers: [MEDIA_TYPES.dockerLayerGzip] },
      undefined,
    ],
    [
      'a layer of an image beside a signature',
      false,
      { layers: [SIMPLE_SIGNING, MEDIA_TYPES.ociLayer] },
      `sha256-${HEX}.sig`,
    ],
    [
      'an encrypted layer',
      false,
      { subject: true, layers: ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted'] },
      undefined,
    ],
    [
      'a layer whose type is spelled otherwise',
      false,
      { subject: true, layers: ['Application/vnd.OCI.image.layer.v1.tar; x=1'] },
      undefined,
    ],
    [
      'a config of an image, with layers of whatever type',
      false,
      { subject: true, config: MEDIA_TYPES.ociConfig, layers: ['text/plain'] },
      undefined,
    ],
    [
      'a config of an image, with layers that only call themselves an SBOM',
      false,
      { subject: true, config: MEDIA_TYPES.ociConfig, layers: ['text/spdx'] },
      undefined,
    ],
    [
      'an image without layers',
      false,
      { subject: true, config: MEDIA_TYPES.ociConfig, layers: [] },
      undefined,
    ],
  ];
  it.each(ROWS)('%s: %s', async (_what, expected, fields, tag) => {
    expect(isAccompaniment(manifest(fields), tag)).toBe(expected);
    const manifests = new ManifestNodes();
    const target = manifests.add(MEDIA_TYPES.ociManifest, documentOf(fields));
    expect(await accompanies(target, tag, manifests.read)).toBe(expected);
  });

  it('is not looked for in what has a tag like any image', async () => {
    const unread = (): Promise<never> => Promise.reject(new Error('it was read'));
    const target = { ...SUBJECT, digest: digestOf(Buffer.from('x')) };
    expect(await accompanies(target, '1.0', unread)).toBe(false);
  });

  describe('as an index', () => {
    const REFERRER = documentOf({ subject: true });
    const OTHER = documentOf({ layers: ['text/html'] });
    const IMAGE = documentOf({
      subject: true,
      config: MEDIA_TYPES.ociConfig,
      layers: [MEDIA_TYPES.ociLayer],
    });
    const LISTS: readonly [string, boolean, readonly object[], object, string | undefined][] = [
      ['the list of referrers under its tag', true, [REFERRER], {}, `sha256-${HEX}`],
      ['such a list with something that refers to nothing', false, [REFERRER, OTHER], {}, `sha256-${HEX}`],
      ['such a list with an image', false, [IMAGE], {}, `sha256-${HEX}`],
      ['an index that refers to it', true, [OTHER], { subject: SUBJECT }, undefined],
      ['one that has an image', false, [OTHER, IMAGE], { subject: SUBJECT }, undefined],
      ['one that refers to nothing', false, [REFERRER], {}, undefined],
      ['one under the tag of a signature', false, [REFERRER], { subject: SUBJECT }, `sha256-${HEX}.sig`],
    ];
    it.each(LISTS)('%s: %s', async (_what, expected, entries, more, tag) => {
      const manifests = new ManifestNodes();
      const listed = entries.map((entry) => manifests.add(MEDIA_TYPES.ociManifest, entry));
      expect(await accompanies(manifests.index(listed, more), tag, manifests.read)).toBe(expected);
    });

    it('has no blobs of its own', async () => {
      const manifests = new ManifestNodes();
      const blob = manifests.add('application/octet-stream', {});
      const index = manifests.index([blob], { subject: SUBJECT });
      expect(await accompanies(index, undefined, manifests.read)).toBe(false);
    });
  });

  it.each([
    [`sha256-${HEX}.sig`, `sha256:${HEX}`],
    [`sha512-${HEX}${HEX}.att`, `sha512:${HEX}${HEX}`],
    [`sha256-${HEX}`, undefined],
    [`sha256-${HEX.slice(1)}.sig`, undefined],
    [`x sha256-${HEX}.sig`, undefined],
    ['latest', undefined],
  ])('of the tag %s is %s', (tag, subject) => {
    expect(subjectOfCosignTag(tag)).toBe(subject);
  });
});
