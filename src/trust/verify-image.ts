import { setImmediate } from 'node:timers/promises';

import { Limiter } from '../concurrency/index.js';
import { type Abortable, isLandfallError, throwIfAborted, TrustError } from '../errors.js';
import type { Digest } from '../spec/index.js';
import { Findings } from './findings.js';
import type { PolicyImage } from './policy/policy-image.js';
import type { SignatureRequirement, SignatureRuling } from './policy/signature-ruling.js';
import type { SignatureVerdict } from './signatures/check-signature.js';
import { findSignatures } from './signatures/find-signatures.js';
import type { FoundSignature, SignatureSet } from './signatures/found-signature.js';
import type { SignatureSource } from './signatures/signature-source.js';
import { unmetError } from './unmet-error.js';

/** That a requirement is met, and by what. */
export interface MetRequirement {
  /** See `SignatureRequirement`. */
  readonly fingerprint: string;
  /** Of the manifest or index that was signed. */
  readonly digest: Digest;
  /** `key sha256:…`, `ci@example.com (https://issuer.example)`. */
  readonly signedBy: string;
  readonly format: 'simple-signing' | 'bundle';
  /** What the signature says that it is for; undefined where it does not say. */
  readonly identity: string | undefined;
  /** Of the signature's manifest. */
  readonly signature: Digest;
}

export interface VerifyImageOptions extends Abortable {
  readonly ruling: SignatureRuling;
  readonly image: PolicyImage;
  /**
   * For each manifest that is to be used, the digests that lead to it: the image's target first, itself last. A signature for any of
   * these counts for it.
   */
  readonly paths: readonly (readonly Digest[])[];
  /** The bytes that a digest of a path names, verified: some signatures are of them. */
  readonly bytesOf: (digest: Digest) => Promise<Buffer>;
  /** Asked one after the other, until all is met. */
  readonly sources: readonly SignatureSource[];
  /** What was met before, by the same requirement and for an image of the same name. */
  readonly remembered?: readonly MetRequirement[];
}

export interface VerifiedImage {
  /** For each requirement and each path, what meets it; each once. */
  readonly met: readonly MetRequirement[];
  /** What was found on the way; empty where all was remembered. */
  readonly sets: readonly SignatureSet[];
}

/**
 * Says whether an image has all the signatures that a policy asks for.
 *
 * @throws TrustError SIGNATURE_MISSING (there is none), SIGNATURE_INVALID (none of those that are there meets a requirement), with
 *   what was tried and what each lacked; what a source throws, where it stands in the way of finding one; ABORTED
 */
export async function verifyImage(options: VerifyImageOptions): Promise<VerifiedImage> {
  return await new ImageVerification(options).run();
}

/** A path for which a requirement is still to be met. */
export interface UnmetPath {
  readonly requirement: SignatureRequirement;
  readonly path: readonly Digest[];
}

/** Digests whose signatures are looked for at once. */
const CONCURRENCY = 4;
/** Of signatures that are given back, in bytes; those beyond have been looked at like all others. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024;

class ImageVerification {
  readonly #options: VerifyImageOptions;
  readonly #limiter = new Limiter(CONCURRENCY);
  readonly #met = new Set<MetRequirement>();
  readonly #sets: SignatureSet[] = [];
  readonly #findings: Findings = new Findings();
  #unmet: readonly UnmetPath[];
  /** What is known to stay unmet, while others have not been asked for: an index may list thousands. */
  #lost: readonly UnmetPath[] | undefined;
  #keptBytes = 0;

  constructor(options: VerifyImageOptions) {
    this.#options = options;
    const { ruling, paths } = options;
    this.#unmet = ruling.requirements.flatMap((requirement) => paths.map((path) => ({ requirement, path })));
  }

  async run(): Promise<VerifiedImage> {
    const { image, paths } = this.#options;
    throwIfAborted(this.#options.signal);
    if (paths.length === 0) {
      throw new TrustError(
        'SIGNATURE_MISSING',
        `${image.name} has no manifest that a signature could be for`,
      );
    }
    for (const met of this.#options.remembered ?? []) this.#meet(met);
    for (const source of this.#options.sources) await this.#search(source);
    if (this.#unmet.length > 0) {
      const looked = this.#lost ?? this.#unmet;
      throw unmetError(this.#options, { unmet: this.#unmet, looked }, this.#findings);
    }
    return { met: [...this.#met], sets: this.#sets };
  }

  /** All that leads to one manifest is asked for at once. Of several, what they share comes first, since it mostly decides. */
  async #search(source: SignatureSource): Promise<void> {
    const paths = new Set(this.#unmet.map(({ path }) => path));
    const asked = new Set<Digest>();
    const depth = Math.max(0, ...[...paths].map(({ length }) => length));
    const isLast = paths.size > 1 && source === this.#options.sources.at(-1);
    const stages = paths.size === 1 ? [0] : Array.from({ length: depth }, (_, level) => level);
    for (const level of stages) {
      const digests = new Set(
        this.#unmet.flatMap(({ path }) => (paths.size === 1 ? path : path.slice(level, level + 1))),
      );
      const fresh = [...digests].filter((digest) => !asked.has(digest));
      for (const digest of fresh) asked.add(digest);
      await Promise.all(
        fresh.map((digest) =>
          this.#limiter.run(async () => {
            if (this.#lost !== undefined) return;
            await this.#examine(await findSignatures(source, digest, { signal: this.#options.signal }));
            const ended = this.#unmet.filter(({ path }) => path.at(-1) === digest);
            if (isLast && ended.length > 0) this.#lost = ended;
          }),
        ),
      );
    }
  }

  async #examine(set: SignatureSet): Promise<void> {
    this.#findings.addSet(set);
    this.#keep(set);
    if (set.signatures.length === 0) return;
    // With it come the libraries of sigstore, which nobody needs who meets no signature.
    const { checkSignature } = await import('./signatures/check-signature.js');
    const { image, bytesOf } = this.#options;
    let bytes: Promise<Buffer> | undefined;
    const options = { image, bytesOf: async (digest: Digest) => await (bytes ??= bytesOf(digest)) };
    for (const signature of set.signatures) {
      // Verifying takes the processor: hundreds of signatures are not to keep others waiting.
      await setImmediate();
      for (const requirement of this.#askedOf(set.subject)) {
        throwIfAborted(this.#options.signal);
        const check = async (): Promise<SignatureVerdict> =>
          await checkSignature(signature, requirement, options);
        await this.#check(check, { set, signature, requirement });
      }
    }
  }

  async #check(
    check: () => Promise<SignatureVerdict>,
    { set, signature, requirement }: SignatureCase,
  ): Promise<void> {
    let verdict: SignatureVerdict;
    try {
      verdict = await check();
    } catch (error) {
      throwIfAborted(this.#options.signal);
      if (!(error instanceof Error) || (isLandfallError(error) && error.code === 'ABORTED')) throw error;
      this.#findings.addProblem(set, error);
      return;
    }
    if (!verdict.holds) {
      this.#findings.addRefusal({ set, signature, requirement, verdict });
      return;
    }
    this.#meet({
      fingerprint: requirement.fingerprint,
      digest: set.subject,
      signedBy: verdict.signedBy,
      format: signature.format,
      identity: verdict.identity,
      signature: signature.manifest.descriptor.digest,
    });
  }

  /** What is still asked of a digest, each once. */
  #askedOf(subject: Digest): readonly SignatureRequirement[] {
    const asked = this.#unmet.filter(({ path }) => path.includes(subject));
    return [...new Map(asked.map(({ requirement }) => [requirement.fingerprint, requirement])).values()];
  }

  #meet(met: MetRequirement): void {
    const unmet = this.#unmet.filter(
      ({ requirement, path }) => requirement.fingerprint !== met.fingerprint || !path.includes(met.digest),
    );
    if (unmet.length < this.#unmet.length) this.#met.add(met);
    this.#unmet = unmet;
  }

  #keep(set: SignatureSet): void {
    const blobs = set.manifests.flatMap((manifest) => [...manifest.blobs.values()]);
    this.#keptBytes += blobs.reduce((sum, { length }) => sum + length, 0);
    if (set.manifests.length > 0 && this.#keptBytes <= MAX_KEPT_BYTES) this.#sets.push(set);
  }
}

interface SignatureCase {
  readonly set: SignatureSet;
  readonly signature: FoundSignature;
  readonly requirement: SignatureRequirement;
}
