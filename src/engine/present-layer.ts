import type { BlobProvider } from '../content/index.js';
import { type Abortable, ContentError, throwIfAborted } from '../errors.js';
import { createDigester, type Descriptor } from '../spec/index.js';
import type { LayerSource } from '../unpack/index.js';

/**
 * A layer whose blob is here already, to be unpacked. It may have been damaged since it came, so it is digested once more
 * beside the unpacking, and fetched anew by `renew` if it turns out wrong; only if it is unpacked at all.
 */
export async function presentLayer(
  content: BlobProvider,
  descriptor: Descriptor,
  o: Abortable & { readonly renew: () => Promise<void> },
): Promise<LayerSource> {
  let verified: Promise<void> | undefined;
  return {
    path: await content.path(descriptor.digest),
    get verified() {
      return (verified ??= verify(content, descriptor, o));
    },
    replacement: async () => {
      await o.renew();
      return { path: await content.path(descriptor.digest), verified: Promise.resolve() };
    },
  };
}

async function verify(content: BlobProvider, descriptor: Descriptor, o: Abortable): Promise<void> {
  const digester = createDigester(descriptor.digest);
  for await (const chunk of await content.open(descriptor)) {
    throwIfAborted(o.signal);
    digester.update(chunk as Buffer);
  }
  const actual = digester.digest();
  if (actual === descriptor.digest) return;
  throw new ContentError('DIGEST_MISMATCH', `blob ${descriptor.digest} reads as ${actual}`, {
    hint: 'The stored blob is damaged: run `landfall fsck --repair`.',
    details: { digest: descriptor.digest, expected: descriptor.digest, actual },
  });
}
