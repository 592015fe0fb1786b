import { MEDIA_TYPES, parseDigest } from '../../src/spec/index.js';
import { GatedUpstream } from '../serve/pull-through/gated-upstream.js';
import type { SigningKey } from '../support/signing-keys.js';
import { type SignatureArtifact, simpleSignature, simpleSigningManifest } from '../support/simple-signing.js';
import type { TinyLayout } from '../support/tiny-image.js';

/** A registry that has images of whole layers, and signatures for them. */
export class SignedUpstream implements AsyncDisposable {
  readonly registry: GatedUpstream;
  readonly #layers = new Set<string>();

  private constructor(registry: GatedUpstream) {
    this.registry = registry;
  }

  static async start(): Promise<SignedUpstream> {
    return new SignedUpstream(await GatedUpstream.start());
  }

  /** `127.0.0.1:PORT/team/app:1` */
  name(tag: string): string {
    return `${this.registry.address}/team/app:${tag}`;
  }

  put(layout: TinyLayout, tag: string): void {
    const types = new Map<string, string>([[layout.target.digest, layout.target.mediaType]]);
    for (const { manifest, config, layers } of layout.manifests) {
      for (const { digest, mediaType } of [manifest, config, ...layers]) types.set(digest, mediaType);
      for (const { digest } of layers) this.#layers.add(digest);
    }
    for (const [digest, bytes] of layout.blobs) this.registry.add(bytes, types.get(digest));
    this.registry.tags.set(tag, layout.target.digest);
  }

  /** Has a signature for a digest under its tag. @param identity default: the repository */
  async sign(
    { digest }: { readonly digest: string },
    key: SigningKey,
    identity = `${this.registry.address}/team/app`,
  ): Promise<SignatureArtifact> {
    const subject = parseDigest(digest);
    const artifact = simpleSigningManifest(subject, [await simpleSignature(subject, { key }, { identity })]);
    for (const [blob, bytes] of artifact.blobs)
      this.registry.add(bytes, blob === artifact.manifest.digest ? MEDIA_TYPES.ociManifest : undefined);
    this.registry.tags.set(artifact.tag, artifact.manifest.digest);
    return artifact;
  }

  /** From now on nobody learns whether there are signatures. */
  loseSignatures(): void {
    this.registry.trouble = ({ url = '' }, response) => {
      if (!/\.sig|referrers/.test(url)) return false;
      response.writeHead(503).end();
      return true;
    };
  }

  /** Requests for layers, whatever they were answered. */
  layerRequests(): string[] {
    return this.registry.requests.filter((line) => [...this.#layers].some((digest) => line.includes(digest)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
  }
}
