import fc from 'fast-check';

import { type ManifestInfo, ManifestStore } from '../../src/content/index.js';
import type { MetadataDatabase } from '../../src/metadata/index.js';
import { type Digest, digestOf } from '../../src/spec/index.js';

/** How many blobs there are. */
export const SIZE = 12;
/** How many chains. */
export const CHAINS = 5;

export const digests: readonly Digest[] = Array.from({ length: SIZE }, (_, i) =>
  digestOf(Buffer.from(`blob ${i}`)),
);

export const chainOf = (index: number): Digest => digestOf(Buffer.from(`chain ${index}`));

export const at = (index: number): Digest => digests[index] ?? digestOf(Buffer.from('none'));

export interface RandomManifests {
  /** For each manifest, the blobs with a higher number that it lists; null where it is no manifest. */
  readonly children: readonly (readonly number[] | null)[];
  /** What it refers to, if that has a higher number. */
  readonly subjects: readonly (number | null)[];
  readonly images: readonly number[];
  readonly leased: readonly number[];
  readonly expired: readonly number[];
}

const blob = fc.nat(SIZE - 1);

/** Graphs without cycles, as content that names content by digest cannot have any. */
export const randomManifests: fc.Arbitrary<RandomManifests> = fc.record({
  children: fc.array(fc.option(fc.uniqueArray(blob, { maxLength: 4 })), { minLength: SIZE, maxLength: SIZE }),
  subjects: fc.array(fc.option(blob), { minLength: SIZE, maxLength: SIZE }),
  images: fc.uniqueArray(blob, { maxLength: 3 }),
  leased: fc.uniqueArray(blob, { maxLength: 2 }),
  expired: fc.uniqueArray(blob, { maxLength: 2 }),
});

export function infoOf(index: number, children: readonly number[], subject: number | null): ManifestInfo {
  return {
    digest: at(index),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...(subject === null || subject <= index ? {} : { subject: at(subject) }),
    children: children.filter((child) => child > index).map((child) => ({ digest: at(child), size: child })),
    chainIds: children.map((child) => chainOf(child % CHAINS)),
  };
}

/** Makes a database say this and nothing else. */
export async function putRandomManifests(
  database: MetadataDatabase,
  g: RandomManifests,
): Promise<ReadonlyMap<Digest, ManifestInfo>> {
  for (const table of ['documents', 'links', 'chain_links', 'images', 'leases', 'blobs', 'snapshots']) {
    await database.run(`DELETE FROM ${table}`);
  }
  const manifests = new ManifestStore(database);
  await manifests.put(
    g.children.flatMap((children, index) =>
      children === null ? [] : [infoOf(index, children, g.subjects[index] ?? null)],
    ),
  );
  for (const index of g.images) {
    await database.run(
      `INSERT INTO images (name, digest, media_type, size, target, created_at, updated_at, used_at)
       VALUES (?, ?, '', 0, '{}', 0, 0, 0)`,
      [`registry.test/${index}:1`, at(index)],
    );
  }
  for (const [id, expires, leased] of [
    ['live', Date.now() + 60_000, g.leased],
    ['dead', Date.now() - 1, g.expired],
  ] as const) {
    await database.run('INSERT INTO leases (id, created_at, expires_at) VALUES (?, 0, ?)', [id, expires]);
    for (const index of leased) {
      await database.run(`INSERT INTO lease_resources (lease_id, kind, key) VALUES (?, 'blob', ?)`, [
        id,
        at(index),
      ]);
    }
  }
  return manifests.all();
}
