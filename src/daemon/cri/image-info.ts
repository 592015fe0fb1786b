import { loadImage, type Store } from '../../engine/index.js';
import { knownVerifications } from '../../engine/trust/index.js';
import type { Verification } from '../../content/index.js';
import { LandfallError } from '../../errors.js';
import { formatPlatform } from '../../spec/index.js';
import type { NodeImage } from '../node-images.js';

/**
 * What `verbose` asks for (CRI: ImageStatusResponse.info): `info`, a JSON object with the chain ID, the image's config as
 * `imageSpec`, which is what peers call it, its layers, the snapshot of the topmost, where its blobs came from, and by whom it is known to
 * be signed.
 */
export async function imageInfo(store: Store, image: NodeImage): Promise<Readonly<Record<string, string>>> {
  const { catalog, content, snapshotter } = store;
  const [name = ''] = image.names;
  try {
    const record = await catalog.get(name);
    if (record === undefined) return {};
    const { chainId, config, layers, platform, manifestDescriptor } = await loadImage(content, record.target);
    const snapshot = chainId === undefined ? undefined : await snapshotter.findChain(chainId);
    const source = (await content.info(manifestDescriptor.digest))?.source;
    return {
      info: JSON.stringify({
        chainID: chainId ?? '',
        imageSpec: config,
        target: record.target,
        platform: formatPlatform(platform),
        layers: layers.map(({ descriptor, diffId }) => ({
          digest: descriptor.digest,
          mediaType: descriptor.mediaType,
          size: descriptor.size,
          diffID: diffId,
        })),
        snapshotter: snapshotter.kind,
        snapshot: snapshot?.name ?? '',
        source: source ?? '',
        signatures: (await knownVerifications(store, record.target)).map((known) => signatureOf(known)),
      }),
    };
  } catch (error) {
    if (!(error instanceof LandfallError)) throw error;
    // The image is there, and what is damaged of it is for fsck.
    return { info: JSON.stringify({ error: error.message }) };
  }
}

function signatureOf({
  digest,
  signedBy,
  policy,
  scope,
  verifiedAt,
  format,
  signature,
}: Verification): Readonly<Record<string, string>> {
  return { digest, signedBy, policy, scope, verifiedAt: verifiedAt.toISOString(), format, signature };
}
