import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openStore, type Store } from '../../../src/engine/store.js';
import { RegistryClient } from '../../../src/registry/index.js';
import {
  createRegistryServer,
  PullThrough,
  type RegistryServer,
  StoreSource,
} from '../../../src/serve/index.js';
import { MEDIA_TYPES, parseDigest } from '../../../src/spec/index.js';
import { PolicyFile } from '../../../src/trust/index.js';
import { type SigningKey } from '../../support/signing-keys.js';
import {
  type SignatureArtifact,
  simpleSignature,
  simpleSigningManifest,
} from '../../support/simple-signing.js';
import { GatedUpstream } from './gated-upstream.js';

export interface MirrorFixtureOptions {
  readonly ttlMs?: number;
  /** Default: the upstream's address. */
  readonly upstreams?: readonly string[];
  /** Path of a signature policy. */
  readonly policy?: string;
}

/** By which the mirror of these tests knows itself. */
export const MARK = 'pull-through/of-this-test';

/** A registry, and a mirror that is filled from it on demand. */
export class MirrorFixture implements AsyncDisposable {
  readonly upstream: GatedUpstream;
  readonly store: Store;
  readonly warnings: string[] = [];
  readonly #root: string;
  readonly #options: MirrorFixtureOptions;
  #registry: RegistryClient | undefined;
  #mirror: PullThrough | undefined;
  #server: RegistryServer | undefined;
  #port = 0;

  private constructor(
    upstream: GatedUpstream,
    root: string,
    { store, options }: { store: Store; options: MirrorFixtureOptions },
  ) {
    this.upstream = upstream;
    this.store = store;
    this.#root = root;
    this.#options = options;
  }

  static async start(options: MirrorFixtureOptions = {}): Promise<MirrorFixture> {
    const root = await mkdtemp(join(tmpdir(), 'landfall-mirror-'));
    const store = await openStore({ root, workers: 1, snapshotter: 'native' });
    const fixture = new MirrorFixture(await GatedUpstream.start(), root, { store, options });
    await fixture.open();
    return fixture;
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT/team/app`, the canonical name. */
  get repository(): string {
    return `${this.upstream.address}/team/app`;
  }

  async open(): Promise<void> {
    const { store, upstream, warnings } = this;
    const { ttlMs, upstreams = [upstream.address], policy } = this.#options;
    this.#registry = new RegistryClient({
      userAgent: `landfall ${MARK}`,
      retry: { attempts: 2, baseMs: 1, maxRetryAfterMs: 10 },
      failover: { pauseMs: 1 },
    });
    const source = new StoreSource({ images: store.catalog, content: store.content });
    this.#mirror = new PullThrough({
      store,
      local: source,
      registry: this.#registry,
      upstreams,
      mark: MARK,
      onWarning: (text) => warnings.push(text),
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(policy === undefined ? {} : { policy: new PolicyFile(policy) }),
    });
    this.#server = createRegistryServer({ source, pullThrough: this.#mirror });
    ({ port: this.#port } = await this.#server.listen({ host: '127.0.0.1', port: 0 }));
  }

  /** Ends the mirror; its store stays open. */
  async close(): Promise<void> {
    await this.#server?.close({ graceMs: 0 });
    await this.#mirror?.close();
    await this.#registry?.close();
    this.#server = undefined;
    this.#mirror = undefined;
    this.#registry = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.upstream[Symbol.asyncDispose]();
    await this.close();
    await this.store.close();
    await rm(this.#root, { recursive: true });
  }

  /** `/v2/team/app/…` as containerd asks a mirror for it. */
  path(rest: string): string {
    return `/v2/team/app/${rest}?ns=${this.upstream.address}`;
  }

  /** Begins to ask for a blob. */
  async begin(digest: string, headers: Record<string, string> = {}): Promise<Download> {
    const request = http.get({
      host: '127.0.0.1',
      port: this.#port,
      path: this.path(`blobs/${digest}`),
      headers,
      agent: false,
    });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return new Download(request, response);
  }

  /** An image at the upstream under a tag, with a config and layers of bytes that do not compress. */
  image(
    tag: string | undefined,
    o: { layers?: number; bytes?: number; platform?: string } = {},
  ): UpstreamImage {
    const { layers: count = 1, bytes = 400_000, platform = 'linux/amd64' } = o;
    const layers = Array.from({ length: count }, () => this.upstream.add(randomBytes(bytes)));
    const [os, architecture] = platform.split('/');
    const diffIds = layers.map(({ digest }) => digest);
    const config = this.upstream.add(
      { os, architecture, rootfs: { type: 'layers', diff_ids: diffIds } },
      MEDIA_TYPES.ociConfig,
    );
    const manifest = this.upstream.add(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers },
      MEDIA_TYPES.ociManifest,
    );
    if (tag !== undefined) this.upstream.tags.set(tag, manifest.digest);
    return { manifest, config, layers, platform: { os, architecture } };
  }

  /** Has the upstream have a signature for a digest, under its tag, or to be found by what it refers to. */
  async sign(
    { digest }: { readonly digest: string },
    key: SigningKey,
    identity: string = this.repository,
  ): Promise<SignatureArtifact & { readonly tag: string }> {
    const subject = parseDigest(digest);
    const signature = await simpleSignature(subject, { key }, { identity });
    const artifact = simpleSigningManifest(subject, [signature]);
    for (const [blob, bytes] of artifact.blobs)
      this.upstream.add(bytes, blob === artifact.manifest.digest ? MEDIA_TYPES.ociManifest : undefined);
    this.upstream.tags.set(artifact.tag, artifact.manifest.digest);
    return artifact;
  }

  index(tag: string, images: readonly UpstreamImage[]): UpstreamImage['manifest'] {
    const manifests = images.map(({ manifest, platform }) => ({ ...manifest, platform }));
    const index = this.upstream.add(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests },
      MEDIA_TYPES.ociIndex,
    );
    this.upstream.tags.set(tag, index.digest);
    return index;
  }
}

type Part = ReturnType<GatedUpstream['add']>;

export interface UpstreamImage {
  readonly manifest: Part;
  readonly config: Part;
  readonly layers: readonly Part[];
  readonly platform: object;
}

/** A blob on its way to a client. */
export class Download {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly #request: http.ClientRequest;
  readonly #response: http.IncomingMessage;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #over = false;
  #wake: () => void = () => undefined;

  constructor(request: http.ClientRequest, response: http.IncomingMessage) {
    this.#request = request;
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    response.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake();
    });
    response.on('close', () => {
      this.#over = true;
      this.#wake();
    });
  }

  /** Resolves when so many bytes have come. */
  async received(bytes: number): Promise<void> {
    while (this.#length < bytes) {
      if (this.#over) throw new Error(`only ${this.#length} of ${bytes} bytes came`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** All that came, and whether that was the whole answer. */
  async end(): Promise<{ bytes: Buffer; whole: boolean }> {
    while (!this.#over) await new Promise<void>((resolve) => (this.#wake = resolve));
    return { bytes: Buffer.concat(this.#chunks), whole: this.#response.complete };
  }

  leave(): void {
    this.#request.destroy();
  }
}
