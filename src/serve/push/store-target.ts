import {
  expireUploads,
  forgetDeleted,
  referencedBlobs,
  imagesListing,
  noteRepository,
  readManifestBlob,
  Uploads,
} from '../../content/index.js';
import { recordManifests } from '../../engine/images/image.js';
import type { Store } from '../../engine/store.js';
import { SpecError } from '../../errors.js';
import { textOf } from '../../metadata/index.js';
import { childrenOf, type Descriptor, type Digest, isNonDistributable, LIMITS } from '../../spec/index.js';
import { isIn, isListedIn, StoreSource } from '../pull/store-source.js';
import type { PushAdmission } from './push-admission.js';
import type { Deletion, PushedManifest, ServeTarget } from './serve-target.js';

const HOUR_MS = 60 * 60 * 1000;
/** How long what was pushed waits for a manifest that names it. */
const UNNAMED_TTL_MS = 24 * HOUR_MS;

/** Pushes and deletions as changes of a store. */
export class StoreTarget implements ServeTarget {
  readonly uploads: Uploads;
  readonly #store: Store;
  /** The answers of a registry of this store. */
  readonly #answers: StoreSource;

  readonly #admission: Pick<PushAdmission, 'admitNames' | 'admitTags'> | undefined;

  /** @param admission of images under the signature policy; without it none needs signatures */
  constructor(store: Store, admission?: Pick<PushAdmission, 'admitNames' | 'admitTags'>) {
    this.#store = store;
    this.#admission = admission;
    const { catalog: images, content, manifests, database, additional } = store;
    const records = { manifests, database, additional, ownManifests: true };
    this.#answers = new StoreSource({ images, content, records });
    this.uploads = new Uploads({ local: store.localContent, content: store.content });
  }

  /** Removes uploads without progress for a day, now and every hour until the returned function is called. */
  expireUploads(onError: (error: unknown) => void): () => void {
    const expire = (): void => {
      expireUploads(this.#store.root, { olderThanMs: UNNAMED_TTL_MS }).catch(onError);
    };
    expire();
    const timer = setInterval(expire, HOUR_MS).unref();
    return () => clearInterval(timer);
  }

  async accept(repository: string, digest: Digest): Promise<void> {
    const { leases, database } = this.#store;
    await leases.hold(`${leasePrefix(repository)}${Math.floor(Date.now() / HOUR_MS)}`, [digest], {
      ttlMs: UNNAMED_TTL_MS,
    });
    await forgetDeleted(database, [digest], repository);
  }

  async mount(repository: string, digest: Digest): Promise<boolean> {
    // Protected before it is looked for, so that no collection comes in between.
    await this.accept(repository, digest);
    return (await this.#store.content.info(digest)) !== undefined;
  }

  async keep(digest: Digest): Promise<void> {
    const { leases, database, content } = this.#store;
    if ((await content.info(digest)) === undefined) return;
    if ((await referencedBlobs(database, [digest])).has(digest)) return;
    await leases.hold(`seen ${Math.floor(Date.now() / HOUR_MS)}`, [digest], { ttlMs: UNNAMED_TTL_MS });
  }

  async putManifest(manifest: PushedManifest): Promise<readonly Descriptor[]> {
    const { repository, tags, byDigest, descriptor, bytes, manifest: manifestOrIndex } = manifest;
    const store = this.#store;
    const children = manifestOrIndex.kind === 'manifest' ? childrenOf(manifestOrIndex) : [];
    const digests = [descriptor.digest, ...children.map(({ digest }) => digest)];
    const names = tags.map((tag) => `${repository}:${tag}`);
    if (byDigest) names.push(`${repository}@${descriptor.digest}`);
    await this.#admission?.admitNames(names);
    await using lease = await store.leases.create();
    await lease.addBlob(...digests);
    const missing = await this.#missing(repository, children);
    if (missing.length > 0) return missing;
    await this.#write(descriptor, bytes);
    await noteRepository(store.database, { digest: descriptor.digest, repository, state: 'pushed' });
    await forgetDeleted(store.database, digests, repository);
    await recordManifests(store, descriptor);
    // A manifest whose tag is refused stays for as long as an upload, so that it can be signed.
    if (this.#admission !== undefined && tags.length > 0) {
      await this.accept(repository, descriptor.digest);
      await this.#admission.admitTags(repository, tags, descriptor.digest);
    }
    for (const name of names) await store.images.put({ name, target: descriptor });
    // They are named now.
    await store.leases.release(leasePrefix(repository), digests);
    return [];
  }

  async deleteTag(repository: string, tag: string): Promise<Deletion> {
    const name = `${repository}:${tag}`;
    if (await this.#store.images.delete(name)) return 'deleted';
    return (await this.#store.catalog.get(name)) === undefined ? 'unknown' : 'elsewhere';
  }

  async deleteManifest(repository: string, digest: Digest): Promise<Deletion> {
    const { database, manifests, images } = this.#store;
    if (!(await this.#hasManifest(repository, digest))) return 'unknown';
    const own = new Set(await this.#namesOf(repository, digest));
    const listing = await imagesListing(database, digest);
    if (listing.some((name) => isIn(repository, name) && !own.has(name))) return 'needed';
    if (!(await noteRepository(database, { digest, repository, state: 'deleted' }))) return 'elsewhere';
    await images.deleteWithin(async (transaction, drop) => {
      for (const name of own) await drop(name);
      // What only refers to others would be kept by these for ever.
      if ((await imagesListing(transaction, digest)).length === 0)
        await manifests.delete(digest, transaction);
    });
    return 'deleted';
  }

  async deleteBlob(repository: string, digest: Digest): Promise<Deletion> {
    const { database, leases } = this.#store;
    if (!(await this.#has(repository, digest))) return 'unknown';
    if (await isListedIn(database, repository, digest)) return 'needed';
    if (!(await noteRepository(database, { digest, repository, state: 'deleted' }))) return 'elsewhere';
    await leases.release(leasePrefix(repository), [digest]);
    return 'deleted';
  }

  /** Whether a repository answers with a blob. */
  async #has(repository: string, digest: Digest): Promise<boolean> {
    if ((await this.#store.content.info(digest)) === undefined) return false;
    return !(await this.#answers.isWithheld(repository, digest));
  }

  /** Whether a repository answers with a manifest. */
  async #hasManifest(repository: string, digest: Digest): Promise<boolean> {
    if ((await readManifestBlob(this.#store.content, digest)) === undefined) return false;
    return await this.#answers.hasManifest(repository, digest);
  }

  /** The names in a repository that stand for a manifest. */
  async #namesOf(repository: string, digest: Digest): Promise<readonly string[]> {
    const rows = await this.#store.database.all('SELECT name FROM images WHERE digest = ?', [digest]);
    return rows.map((row) => textOf(row, 'name')).filter((name) => isIn(repository, name));
  }

  /**
   * What the repository does not have, and what was not dropped here on purpose, to be fetched again when it
   * is asked for.
   */
  async #missing(repository: string, children: readonly Descriptor[]): Promise<readonly Descriptor[]> {
    const { discarded } = this.#store;
    const missing = new Map<Digest, Descriptor>();
    for (const child of children) {
      if (isNonDistributable(child.mediaType) || (child.urls?.length ?? 0) > 0) continue;
      if (missing.has(child.digest) || (await this.#has(repository, child.digest))) continue;
      if ((await discarded.get(child.digest)) === undefined) missing.set(child.digest, child);
    }
    return [...missing.values()];
  }

  async #write(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    if (descriptor.size > LIMITS.manifestBytes) throw new SpecError('LIMIT_EXCEEDED', 'too large a manifest');
    const writer = await this.#store.content.ingest(descriptor);
    if (writer === undefined) return;
    await using held = writer;
    await held.write(0, bytes);
    await held.commit();
  }
}

function leasePrefix(repository: string): string {
  return `pushed ${repository} `;
}
