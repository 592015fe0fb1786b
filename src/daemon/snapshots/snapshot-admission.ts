import { RecentMap } from '../../concurrency/index.js';
import { admitKnown, admitManifest } from '../../engine/trust/admit-image.js';
import { chainsOfManifest, imagesEndingIn, indexesAbove } from '../../engine/trust/manifest-paths.js';
import type { Store } from '../../engine/store.js';
import { type Abortable, isLandfallError, type LandfallError, TrustError } from '../../errors.js';
import type { Credentials, RegistryClient } from '../../registry/index.js';
import { type Digest, formatReference, isDigest, parseReference } from '../../spec/index.js';
import { type PolicyFile, registryImage } from '../../trust/index.js';
import type { Labels, SnapshotImage, SnapshotInfo } from '../../unpack/index.js';
import { registryFor } from '../pulls/credentials.js';
import { chainIn, type PrepareRequest, REF_LABEL, type RemoteImage, remoteImageIn } from './remote-image.js';

export interface SnapshotAdmissionOptions {
  readonly store: Store;
  /** With the daemon's own credentials. */
  readonly registry: RegistryClient;
  /** The daemon's own: a containerd does not say for which namespace it asks. */
  readonly policy: PolicyFile;
  /** The credentials of a recent pull of this image. */
  readonly credentialsFor: (asked: string) => Credentials | undefined;
  /** Whether a request comes from this daemon's own offer; see `OwnOffers`. */
  readonly isOwnOffer: (key: string) => boolean;
}

/** What is true of a manifest whatever a policy says. */
interface ManifestSummary {
  /** What leads to it: indexes first, itself last. */
  readonly path: readonly Digest[];
  /** What its layers become, bottom first. */
  readonly chains: readonly Digest[];
}

/** The manifests that are remembered: containerd asks for the layers of one after the other. */
const MOST_KNOWN = 200;

/**
 * Holds requests of a containerd for snapshots against the signature policy. containerd asks for the layers
 * of an image, one by one, while it pulls it; for a container, it asks for a snapshot on top of an image's
 * layers, and does not say of which image.
 */
export class SnapshotAdmission {
  readonly #options: SnapshotAdmissionOptions;
  readonly #known = new RecentMap<string, ManifestSummary>(MOST_KNOWN);

  constructor(options: SnapshotAdmissionOptions) {
    this.#options = options;
  }

  /**
   * Admits a request for a snapshot, or refuses it.
   *
   * @returns the image that ends with the layer that is asked for, to be remembered with it; undefined for
   *   every other one Errors: those of the policy and of `verifyImage`; those of resolving and reading
   *   manifests at a registry
   */
  async admit({ key, parent, labels }: PrepareRequest, o: Abortable): Promise<SnapshotImage | undefined> {
    const unpacked = chainIn(key);
    const named = labels[REF_LABEL];
    const chainId = named !== undefined && isDigest(named) ? named : unpacked;
    const unnamed = await this.#refusalOfUnnamed(chainId ?? parent.slice(parent.lastIndexOf('/') + 1));
    // Everything is accepted, so nothing else needs to be looked at.
    if (unnamed === undefined || this.#options.isOwnOffer(key)) return undefined;
    // A request that is not for a layer counts as one for a container, whatever labels it has.
    if (chainId === undefined || chainId !== unpacked) await this.#admitContainer(parent, unnamed, o);
    return chainId === undefined ? undefined : await this.#admitLayer(chainId, labels, unnamed, o);
  }

  async #admitLayer(
    chainId: Digest,
    labels: Labels,
    unnamed: TrustError,
    o: Abortable,
  ): Promise<SnapshotImage | undefined> {
    const image = remoteImageIn(labels);
    if (image === undefined) throw withHint(unnamed, ANNOTATIONS_HINT);
    const asked = parseReference(image.asked);
    const ruling = await this.#options.policy.rulingFor(registryImage(asked));
    const { store, registry, credentialsFor } = this.#options;
    const client = registryFor(registry, asked.registry, credentialsFor(image.asked));
    const known = this.#known.get(keyOf(image));
    const manifest = image.reference.digest;
    let path = await this.#pathTo(manifest, known?.path);
    if (ruling !== undefined) {
      path = await admitManifest({ store, registry: client, ruling, asked, manifest, known: path, ...o });
    }
    const chains = known?.chains ?? (await chainsOfManifest(store, client, image.reference, o));
    this.#known.set(keyOf(image), { path, chains });
    if (!chains.includes(chainId)) throw foreignLayer(chainId, image, this.#options.policy);
    return chains.at(-1) === chainId ? { name: image.asked, path } : undefined;
  }

  /** From what is here alone: a container of what was verified starts without a network. */
  async #admitContainer(parent: string, unnamed: TrustError, o: Abortable): Promise<void> {
    const { store } = this.#options;
    // Without a parent nothing of any image is in it.
    const info = parent === '' ? undefined : await store.snapshotter.stat(parent);
    // The snapshotter refuses what cannot be a parent.
    if (info?.kind !== 'committed') return;
    let refusal: Error | undefined;
    for (const image of [...(info.images ?? []), ...(await this.#imagesOf(info))]) {
      try {
        await this.#admitImage(image, o);
        return;
      } catch (error) {
        if (!isLandfallError(error) || error.code === 'ABORTED') throw error;
        refusal ??= isUnsigned(error) ? withHint(error, pullHint(image.name)) : error;
      }
    }
    throw refusal ?? withHint(unnamed, UNKNOWN_HINT);
  }

  async #admitImage({ name, path }: SnapshotImage, o: Abortable): Promise<void> {
    const { store, policy } = this.#options;
    const image = registryImage(parseReference(name));
    const ruling = await policy.rulingFor(image);
    if (ruling !== undefined) await admitKnown(store, { ruling, image, path, ...o });
  }

  /** Those of the store that end with a snapshot, where it is a chain that landfall verified. */
  async #imagesOf({ name, labels }: SnapshotInfo): Promise<readonly SnapshotImage[]> {
    const { store } = this.#options;
    const chainId = labels[REF_LABEL];
    if (chainId === undefined || !isDigest(chainId)) return [];
    if ((await store.snapshotter.findChain(chainId))?.name !== name) return [];
    return await imagesEndingIn(store, chainId);
  }

  /** What is known here to lead to a manifest. @param before what was found at its registry */
  async #pathTo(manifest: Digest, before: readonly Digest[] = []): Promise<readonly Digest[]> {
    const above = await indexesAbove(this.#options.store.manifests, manifest);
    return [...new Set([...above.toReversed(), ...before, manifest])];
  }

  /** Why an image is refused of which only its layers are known; undefined where everything is accepted. */
  async #refusalOfUnnamed(layers: string): Promise<TrustError | undefined> {
    try {
      await this.#options.policy.admitUnnamed(`the image of ${layers}`);
      return undefined;
    } catch (error) {
      if (error instanceof TrustError) return error;
      throw error;
    }
  }
}

function keyOf({ asked, reference }: RemoteImage): string {
  return `${asked} ${formatReference(reference)}`;
}

const ANNOTATIONS_HINT =
  'Have containerd say which image a layer is of: `disable_snapshot_annotations = false`; `landfall doctor --containerd` prints what its configuration lacks.';
const UNKNOWN_HINT =
  'Have the image verified by its name with `landfall pull`, or remove it from containerd and pull it there again.';

function pullHint(name: string): string {
  return `Nothing was asked of a registry. \`landfall pull ${name}\` does that, and keeps the signatures.`;
}

/** Layers that a request passes off as those of another image, which may be signed. */
function foreignLayer(chainId: Digest, { asked, reference }: RemoteImage, { path }: PolicyFile): TrustError {
  return new TrustError(
    'POLICY_REJECTED',
    `${asked}, which is ${reference.digest}, has no layers ${chainId}, though containerd asks for them as its own`,
    { hint: ANNOTATIONS_HINT, details: { image: asked, policy: path } },
  );
}

function isUnsigned(error: LandfallError): error is TrustError {
  return error.code === 'SIGNATURE_MISSING' || error.code === 'SIGNATURE_INVALID';
}

function withHint(error: TrustError, hint: string): TrustError {
  const { code, message, details } = error;
  return new TrustError(code, message, { cause: error, details, hint });
}
