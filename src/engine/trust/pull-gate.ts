import type { Lease } from '../../content/index.js';
import type { Abortable } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  hostPlatform,
  type Platform,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { type PolicyFile, registryImage, type SignatureRuling } from '../../trust/index.js';
import { type PulledSignature, registrySignatures, signaturesOf } from './registry-signatures.js';
import type { Store } from '../store.js';
import { type Admission, admitImage, recordAdmission } from './admit-image.js';
import { documentBytes } from '../images/read-document.js';
import { type ManifestPaths, pathsToAll, pathTo, pathToPlatform } from './manifest-paths.js';

export interface PullGateOptions extends Abortable {
  readonly store: Store;
  readonly registry: RegistryClient;
  /** What is pulled. */
  readonly reference: Reference;
  /** Without one, nothing is asked for. */
  readonly policy: PolicyFile | undefined;
  /** What the image was asked for as, where what is pulled is a manifest that this leads to; by this name the policy knows it. */
  readonly askedAs?: Reference | undefined;
  readonly platform?: Platform | undefined;
  readonly allPlatforms?: boolean | undefined;
}

/** Lets a pull go on once its image was found to have what a policy asks for; at once where nothing is asked for. */
export class PullGate {
  readonly #options: PullGateOptions;
  readonly #ruling: SignatureRuling | undefined;
  #admission: Admission | undefined;

  private constructor(options: PullGateOptions, ruling: SignatureRuling | undefined) {
    this.#options = options;
    this.#ruling = ruling;
  }

  /** Errors: those of `PolicyFile.rulingFor`, before anything is asked of the registry. */
  static async of(options: PullGateOptions): Promise<PullGate> {
    const { policy, askedAs, reference } = options;
    return new PullGate(options, await policy?.rulingFor(registryImage(askedAs ?? reference)));
  }

  /** By whom the image is signed, as far as that was asked. */
  get signatures(): readonly PulledSignature[] | undefined {
    return this.#admission === undefined ? undefined : signaturesOf(this.#admission);
  }

  /** Errors: as {@link admitImage}. */
  async admit(target: Descriptor): Promise<void> {
    if (this.#ruling === undefined) return;
    const { store, registry, reference, askedAs, signal } = this.#options;
    this.#admission = await admitImage({
      ruling: this.#ruling,
      image: registryImage(askedAs ?? reference),
      ...(await this.#wanted(target)),
      read: documentBytes(store.content, registry.repository(reference), { signal }),
      sources: [registrySignatures(registry, reference)],
      store,
      signal,
    });
  }

  /** Remembers what was verified and keeps the signatures; see {@link recordAdmission}. */
  async record(lease?: Lease): Promise<void> {
    const { store, reference, signal } = this.#options;
    if (this.#admission === undefined) return;
    const held = lease === undefined ? {} : { lease };
    await recordAdmission(store, this.#admission, { ...held, source: repositoryName(reference), signal });
  }

  async #wanted(pulled: Descriptor): Promise<{ target: Descriptor; paths: ManifestPaths }> {
    const { registry, platform, allPlatforms, askedAs, signal } = this.#options;
    if (askedAs !== undefined) {
      const target = await registry.resolver().resolve(askedAs, { signal });
      return { target, paths: pathTo(pulled) };
    }
    const paths = allPlatforms === true ? pathsToAll : pathToPlatform(platform ?? hostPlatform());
    return { target: pulled, paths };
  }
}
