import { type Descriptor, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { manifestReply, type Reply } from './scripted-reply.js';
import { BUNDLE_TYPE } from './signature-bundle.js';
import { addBlob, SIGNATURE_ANNOTATION, type SignatureArtifact } from './simple-signing.js';

/*
 * What somebody without a key can make of the signatures of somebody who has one.
 */

/** What is signed, as a layer of the signatures. */
export function payloadOf(signature: SignatureArtifact): Descriptor {
  return documentOf(signature).layers[0];
}

export function payloadBytes(signature: SignatureArtifact): Buffer {
  return signature.blobs.get(payloadOf(signature).digest) ?? Buffer.alloc(0);
}

/** Other bytes than those of the manifest, as many, which say the same. */
export function reworded({ manifest, blobs }: SignatureArtifact): Buffer {
  const text = String(blobs.get(manifest.digest));
  return Buffer.from(
    `{"mediaType":"${manifest.mediaType}",${text.replace(`"mediaType":"${manifest.mediaType}",`, '').slice(1)}`,
  );
}

/** The last bit is another one. */
export function flipped(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  other.writeUInt8(other.readUInt8(other.length - 1) ^ 1, other.length - 1);
  return other;
}

/** The payload has a size that nobody will fetch. */
export function hugePayload(signature: SignatureArtifact): SignatureArtifact {
  return withLayers(signature, (layer) => [{ ...layer, size: 1 << 30 }]);
}

/** So many signatures, none of which holds. */
export function manySignatures(signature: SignatureArtifact, count: number): SignatureArtifact {
  const annotations = { [SIGNATURE_ANNOTATION]: Buffer.from('no signature').toString('base64') };
  return withLayers(signature, (layer) => Array.from({ length: count }, () => ({ ...layer, annotations })));
}

/** A list of referrers that may all be signatures, none of which is there. */
export function manyReferrers(count: number): Reply {
  const manifests = Array.from({ length: count }, (_, n) => ({
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(Buffer.from(`referrer ${n}`)),
    size: 500,
    artifactType: BUNDLE_TYPE,
  }));
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
  return manifestReply(JSON.stringify(document), MEDIA_TYPES.ociIndex);
}

function withLayers(
  signature: SignatureArtifact,
  edit: (layer: Descriptor) => readonly Descriptor[],
): SignatureArtifact {
  const blobs = new Map(signature.blobs);
  blobs.delete(signature.manifest.digest);
  const document = { ...documentOf(signature), layers: edit(payloadOf(signature)) };
  const manifest = addBlob(blobs, MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(document)));
  return { ...signature, manifest, blobs };
}

function documentOf({ manifest, blobs }: SignatureArtifact): { readonly layers: readonly [Descriptor] } {
  return JSON.parse(String(blobs.get(manifest.digest))) as { layers: [Descriptor] };
}
