import { buffer } from 'node:stream/consumers';

import type { RemoteRepository } from '../../src/registry/index.js';
import { MEDIA_TYPES, parseManifest } from '../../src/spec/index.js';
import { putArtifact } from './put-artifact.js';
import {
  SIGNATURE_ANNOTATION,
  signatureTag,
  type SimpleSignature,
  simpleSigningManifest,
} from './simple-signing.js';
import type { TinyLayout } from './tiny-image.js';

interface SignedTarget {
  readonly layout: Pick<TinyLayout, 'target'>;
  readonly remote: RemoteRepository;
}

/** Puts the signatures of one image where those of another are looked for. */
export async function copySignatures(from: SignedTarget, to: SignedTarget): Promise<void> {
  const signatures = await signaturesOf(from);
  await putSignatures(to, signatures);
}

/** Has others stand in their place, in a manifest that fits them. */
export async function editSignatures(
  image: SignedTarget,
  edit: (signature: SimpleSignature) => SimpleSignature,
): Promise<void> {
  const signatures = await signaturesOf(image);
  await putSignatures(image, signatures.map(edit));
}

/** One bit of the signature is another one; the payload is as it was. */
export function spoiled({ payload, annotations }: SimpleSignature): SimpleSignature {
  const signature = Buffer.from(annotations[SIGNATURE_ANNOTATION] ?? '', 'base64');
  signature.writeUInt8(signature.readUInt8(signature.length - 1) ^ 1, signature.length - 1);
  return { payload, annotations: { ...annotations, [SIGNATURE_ANNOTATION]: signature.toString('base64') } };
}

async function putSignatures(
  { remote, layout }: SignedTarget,
  signatures: readonly SimpleSignature[],
): Promise<void> {
  await putArtifact(remote, simpleSigningManifest(layout.target.digest, signatures));
}

async function signaturesOf({ remote, layout }: SignedTarget): Promise<SimpleSignature[]> {
  const tag = signatureTag(layout.target.digest);
  const found = await remote.stored(tag);
  if (found === undefined) throw new Error(`there is no ${tag}`);
  const manifest = parseManifest(await buffer(await remote.fetch(found)), MEDIA_TYPES.ociManifest);
  if (manifest.kind !== 'manifest') throw new Error(`${tag} is no manifest`);
  return await Promise.all(
    manifest.layers.map(async (layer) => ({
      payload: await buffer(await remote.fetch(layer)),
      annotations: layer.annotations ?? {},
    })),
  );
}
