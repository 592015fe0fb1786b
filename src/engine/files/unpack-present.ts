import type { Abortable } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  hostPlatform,
  type Platform,
  platformMatcher,
} from '../../spec/index.js';
import { settleStore, type Store } from '../store.js';
import { requireUnpackable, manifestsHere } from '../images/image.js';

export interface UnpackPresentOptions extends Abortable {
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface UnpackedPresent {
  readonly platform: Platform;
  readonly chainId: Digest | undefined;
}

/**
 * Makes snapshots of the layers of an image whose blobs are in the store and that has a name there, as a pull does. Undefined where
 * it has no manifest for the platform, or is no container image.
 *
 * Errors: those of the unpacker; NO_SPACE, FILESYSTEM; ABORTED.
 */
export async function unpackPresent(
  store: Store,
  target: Descriptor,
  { platform = hostPlatform(), signal, onWarning }: UnpackPresentOptions = {},
): Promise<UnpackedPresent | undefined> {
  const { matches, compare } = platformMatcher(platform);
  const here = await manifestsHere(store.content, target);
  const [image] = here
    .filter((manifest) => matches(manifest.platform))
    .sort((a, b) => compare(a.platform, b.platform));
  if (image === undefined) return undefined;
  requireUnpackable(image.layers, store.limits);
  await using lease = await store.leases.create();
  await lease.addBlob(...image.layers.map(({ descriptor }) => descriptor.digest));
  await lease.addSnapshot(...image.layers.map(({ chainId }) => chainId));
  await store.unpacker.unpack(
    image.layers.map(({ descriptor, diffId }) => ({
      descriptor,
      diffId,
      // What is committed was verified.
      open: async () => ({ path: await store.content.path(descriptor.digest), verified: Promise.resolve() }),
    })),
    {
      signal,
      onEvent: (event) => {
        if (event.type === 'warning') onWarning?.(event.message);
      },
    },
  );
  await settleStore(store);
  return { platform: image.platform, chainId: image.layers.at(-1)?.chainId };
}
