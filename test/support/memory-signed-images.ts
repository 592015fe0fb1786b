import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Descriptor, type Digest, MEDIA_TYPES } from '../../src/spec/index.js';
import { PolicyFile } from '../../src/trust/index.js';
import type { MemoryRepository } from './memory-transport.js';
import { bundleReferrer, statementBundle } from './signature-bundle.js';
import { type SigningKey, signingKey } from './signing-keys.js';
import { simpleSignature, simpleSigningManifest } from './simple-signing.js';

/*
 * Signatures beside images in memory, and policies that ask for them.
 */

/** Signs what is in a repository by cosign's tag, for the repository's own name or another. */
export async function sign(
  repository: MemoryRepository,
  { digest }: Pick<Descriptor, 'digest'>,
  { key, identity = repository.name }: { readonly key: SigningKey; readonly identity?: string },
): Promise<Descriptor> {
  const signature = await simpleSignature(digest, { key }, { identity });
  const { manifest, blobs, tag } = simpleSigningManifest(digest, [signature]);
  return put(repository, { manifest, blobs }, tag);
}

/** Signs it by a bundle that refers to it. */
export async function signByBundle(
  repository: MemoryRepository,
  subject: Descriptor,
  key: SigningKey,
): Promise<Descriptor> {
  const bundle = await statementBundle(subject.digest, { key });
  return put(repository, bundleReferrer(subject, [bundle]));
}

function put(
  repository: MemoryRepository,
  { manifest, blobs }: { readonly manifest: Descriptor; readonly blobs: ReadonlyMap<Digest, Buffer> },
  tag?: string,
): Descriptor {
  for (const [digest, bytes] of blobs) {
    if (digest !== manifest.digest) repository.add('application/octet-stream', bytes);
  }
  return repository.add(manifest.mediaType, blobs.get(manifest.digest) ?? Buffer.alloc(0), tag);
}

/** Something that is no image: an SBOM, which refers to one or does not. */
export function addSbom(
  repository: MemoryRepository,
  { subject, tag }: { readonly subject?: Descriptor; readonly tag?: string },
): Descriptor {
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: 'application/spdx+json',
    config: repository.add(MEDIA_TYPES.ociEmpty, Buffer.from('{}')),
    layers: [repository.add('application/spdx+json', Buffer.from(`{"of":"${subject?.digest ?? ''}"}`))],
    ...(subject === undefined ? {} : { subject }),
  };
  return repository.add(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(document)), tag);
}

/** Keys and policies in files, in a directory of their own. */
export class PolicyFiles implements AsyncDisposable {
  readonly directory: string;
  readonly key: SigningKey = signingKey();
  readonly otherKey: SigningKey = signingKey();
  #count = 0;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(): Promise<PolicyFiles> {
    return new PolicyFiles(await mkdtemp(join(tmpdir(), 'landfall-policies-')));
  }

  /** What asks for a signature by {@link PolicyFiles.key}. */
  signed(signedIdentity: object = { type: 'matchRepository' }, key: SigningKey = this.key): object {
    return { type: 'sigstoreSigned', keyData: Buffer.from(key.pem).toString('base64'), signedIdentity };
  }

  /** A policy of these requirements for everything, or for these scopes of transports. */
  async write(
    requirements: readonly object[],
    transports: Readonly<Record<string, Readonly<Record<string, readonly object[]>>>> = {},
  ): Promise<PolicyFile> {
    this.#count += 1;
    const path = join(this.directory, `${this.#count}.json`);
    await writeFile(path, JSON.stringify({ default: requirements, transports }, null, 2));
    return new PolicyFile(path);
  }

  /** One that asks everything for a signature by {@link PolicyFiles.key}. */
  async signedOnly(signedIdentity?: object): Promise<PolicyFile> {
    return await this.write([this.signed(signedIdentity)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

export const ACCEPT = { type: 'insecureAcceptAnything' } as const;
export const REJECT = { type: 'reject' } as const;
