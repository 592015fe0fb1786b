import type { CatalogImage } from '../../content/index.js';
import { type Abortable, throwIfAborted } from '../../errors.js';
import { DISCARD_LAYERS_LABEL } from '../../content/index.js';
import {
  integerOf,
  type MetadataDatabase,
  optionalIntegerOf,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import { recordMissingManifests } from './image.js';
import type { Store } from '../store.js';

/** An image, with what it takes in the store that has its name. Names of one target are one image there. */
export interface ImageSummary extends ImageSizes {
  /** Canonical. */
  readonly name: string;
  /** Of the target. */
  readonly digest: Digest;
  /** Of the target: an index, or a manifest. */
  readonly mediaType: string;
  /** The config's digest, where one platform only is here. */
  readonly imageId?: Digest;
  /** The platforms that are here, as text. */
  readonly platforms: readonly string[];
  /** When the name was first given. */
  readonly createdAt: Date;
  /** When the name was last given a target, or other labels. */
  readonly updatedAt: Date;
  /** When it was last pulled, mounted or unpacked. */
  readonly usedAt: Date;
  /** What users and other programs attached to it. */
  readonly labels: Readonly<Record<string, string>>;
  /** Never collected for being unused. */
  readonly pinned: boolean;
  /** The root of the additional store that has the name, where it is not the store's own. */
  readonly additionalRoot?: string;
}

/**
 * Every image that can be used, by name, those of additional stores included. One that is damaged is listed
 * too, with what is known of it. Layers that were unpacked since the last time are measured first, which
 * may take a while.
 *
 * @returns the images, in order of their names; sizes are in bytes
 * @throws {@link ContentError} FILESYSTEM, STORE_CORRUPT; {@link LandfallError} ABORTED
 */
export async function listImages(store: Store, { signal }: Abortable = {}): Promise<readonly ImageSummary[]> {
  throwIfAborted(signal);
  await recordMissingManifests(store, { signal });
  await store.snapshotter.measure({ signal });
  const stores = [{ root: undefined, database: store.database }, ...store.additional];
  const [images, pinnedBy, ...surveys] = await Promise.all([
    store.catalog.list(),
    store.daemonPins.of(),
    ...stores.map(async ({ root, database }) => [root, await surveyTargets(database)] as const),
  ]);
  const info = new Map<string | undefined, ReadonlyMap<Digest, TargetInfo>>(surveys);
  return images.map((image) =>
    summaryOf(
      { ...image, pinned: image.pinned || pinnedBy(image.name).length > 0 },
      info.get(image.additionalRoot)?.get(image.target.digest),
    ),
  );
}

function summaryOf(image: CatalogImage, info: TargetInfo | undefined): ImageSummary {
  const { name, target, createdAt, updatedAt, usedAt, pinned, additionalRoot } = image;
  const { platforms = [], imageIds = [], ...sizes } = info ?? {};
  const [imageId] = imageIds;
  return {
    name,
    digest: target.digest,
    mediaType: target.mediaType,
    ...(imageId === undefined || imageIds.length > 1 ? {} : { imageId }),
    platforms,
    ...{ ...NOTHING, ...sizes },
    createdAt,
    updatedAt,
    usedAt,
    labels: image.discardLayers ? { ...image.labels, [DISCARD_LAYERS_LABEL]: 'true' } : image.labels,
    pinned,
    ...(additionalRoot === undefined ? {} : { additionalRoot }),
  };
}

const NOTHING: ImageSizes = { size: 0, snapshotSize: 0, shared: 0, unique: 0 };

/** What an image takes in its store, in bytes. */
export interface ImageSizes {
  /** Bytes of its blobs that are here. */
  readonly size: number;
  /** Bytes of its unpacked layers. */
  readonly snapshotSize: number;
  /** Bytes of both that other targets use too. */
  readonly shared: number;
  /** Bytes that only this image uses: what removing it would free. */
  readonly unique: number;
}

/** What is known of the images below a target. */
interface TargetInfo extends ImageSizes {
  /** In the index's order, as text. */
  readonly platforms: readonly string[];
  /** Digests of the configs, in the same order. */
  readonly imageIds: readonly Digest[];
}

/**
 * What the target of each image takes in one store. Only manifests are walked here; all that they list
 * besides is added up by the database, grouped by the manifests that list it: a hundred thousand blobs are
 * a few thousand groups.
 */
export async function surveyTargets(database: MetadataDatabase): Promise<ReadonlyMap<Digest, TargetInfo>> {
  // All at once: the database goes on with the next while what it has found is looked at, and the longest
  // runs beside.
  const [{ manifests: manifestStore, users, sums: found }, listed, chains] = await Promise.all([
    walk(database),
    database.getBeside(LISTED).then(linesOf),
    database.get(CHAINS).then(linesOf),
  ]);
  for (const [ids, bytes] of listed) addTo(users.of(ids), 'size', Number(bytes));
  for (const [ids, bytes] of chains) addTo(users.of(ids), 'snapshotSize', Number(bytes));
  return new Map(
    [...found].map(([target, sums]) => {
      const manifests = manifestStore.manifests(target);
      return [
        target,
        {
          ...sums,
          shared: sums.size + sums.snapshotSize - sums.unique,
          platforms: manifests.map(({ platform }) => platform),
          imageIds: manifests.flatMap(({ imageId }) => imageId ?? []),
        },
      ];
    }),
  );
}

/** The targets that use each manifest, and the bytes of what no manifest need list. */
async function walk(
  statements: Statements,
): Promise<{ manifests: ManifestNodes; users: Users; sums: ReadonlyMap<Digest, Sums> }> {
  const [manifestStore, targets] = await Promise.all([readManifests(statements), readTargets(statements)]);
  const users = new Users();
  const sums = new Map<Digest, Sums>();
  for (const target of targets.keys()) {
    const mine = { size: 0, snapshotSize: 0, unique: 0 };
    sums.set(target, mine);
    for (const digest of manifestStore.reach(target)) users.add(digest, manifestStore.idOf(digest), mine);
  }
  for (const [digest, using] of users.byDigest) {
    addTo(using, 'size', targets.get(digest) ?? manifestStore.referrerSize(digest));
  }
  return { manifests: manifestStore, users, sums };
}

interface Sums {
  size: number;
  snapshotSize: number;
  unique: number;
}

function addTo(users: readonly Sums[], what: 'size' | 'snapshotSize', bytes: number): void {
  for (const sums of users) {
    sums[what] += bytes;
    if (users.length === 1) sums.unique += bytes;
  }
}

/*
 * Many small rows come as the lines of one text: each row by itself costs more than all that is done with
 * it afterwards.
 */

/**
 * Blobs that are here, by the manifests that list them; without targets and referrers, which no manifest
 * need list.
 */
const LISTED = lines(
  "users || ' ' || size",
  `
SELECT users, sum(size) AS size FROM (
  SELECT group_concat(links.document) AS users, blobs.size FROM links JOIN blobs ON blobs.digest = links.child
  WHERE links.child NOT IN (SELECT digest FROM images)
    AND links.child NOT IN (SELECT digest FROM documents WHERE subject IS NOT NULL)
  GROUP BY links.child
) GROUP BY users`,
);

const CHAINS = lines(
  "users || ' ' || size",
  `
SELECT users, sum(size) AS size FROM (
  SELECT group_concat(chain_links.document) AS users, snapshots.bytes AS size
  FROM chains JOIN snapshots ON snapshots.id = chains.snapshot_id JOIN chain_links ON chain_links.chain_id = chains.chain_id
  GROUP BY chains.chain_id
) GROUP BY users`,
);

/** Image manifests: what they list are no manifests. */
const MANIFESTS = lines(
  "id || ' ' || digest || ' ' || platform || ' ' || coalesce(image_id, '')",
  'SELECT * FROM documents WHERE platform IS NOT NULL AND subject IS NULL',
);

function lines(line: string, rows: string): string {
  return `SELECT group_concat(${line}, char(10)) AS lines FROM (${rows})`;
}

function linesOf(row: Row | undefined): readonly (readonly string[])[] {
  const text = row === undefined ? undefined : optionalTextOf(row, 'lines');
  return text === undefined ? [] : text.split('\n').map((line) => line.split(' '));
}

/** Which targets use a manifest, and so all that it lists; each once. */
class Users {
  readonly byDigest = new Map<Digest, Sums[]>();
  readonly #byId = new Map<number, Sums[]>();

  /** Called once for a target and a manifest that it reaches. */
  add(digest: Digest, id: number | undefined, sums: Sums): void {
    const known = this.byDigest.get(digest);
    if (known !== undefined) {
      known.push(sums);
      return;
    }
    const users = [sums];
    this.byDigest.set(digest, users);
    if (id !== undefined) this.#byId.set(id, users);
  }

  /** Of what is listed by the manifests with these numbers, which commas part. */
  of(ids = ''): readonly Sums[] {
    if (!ids.includes(',')) return this.#byId.get(Number(ids)) ?? [];
    const all = new Set<Sums>();
    for (const id of ids.split(',')) for (const sums of this.#byId.get(Number(id)) ?? []) all.add(sums);
    return [...all];
  }
}

interface ManifestNode {
  readonly id: number;
  /** Only of a referrer that is here. */
  readonly size: number | undefined;
  readonly platform: string | undefined;
  readonly imageId: Digest | undefined;
  /** Of what is not an image manifest. */
  readonly children: readonly Digest[];
}

async function readManifests(statements: Statements): Promise<ManifestNodes> {
  const [manifests, others, named] = await Promise.all([
    statements.get(MANIFESTS).then(linesOf),
    statements.all(
      `SELECT id, digest, subject, platform, image_id, CASE WHEN platform IS NULL THEN children END AS children,
         CASE WHEN subject IS NOT NULL THEN (SELECT size FROM blobs WHERE blobs.digest = documents.digest) END AS size
       FROM documents WHERE platform IS NULL OR subject IS NOT NULL`,
    ),
    // Of what an image manifest lists, only what is named elsewhere too is of interest.
    statements.all(
      `SELECT holder.digest AS holder, links.child FROM (
         SELECT digest FROM documents UNION ALL SELECT digest FROM images
         UNION ALL SELECT subject FROM documents WHERE subject IS NOT NULL
       ) AS named CROSS JOIN links ON links.child = named.digest
         CROSS JOIN documents AS holder ON holder.id = links.document
       WHERE holder.platform IS NOT NULL`,
    ),
  ]);
  const manifestStore = new ManifestNodes();
  for (const line of manifests) manifestStore.addManifest(line);
  for (const row of others) manifestStore.add(row);
  for (const row of named)
    manifestStore.addChild(parseDigest(textOf(row, 'holder')), parseDigest(textOf(row, 'child')));
  return manifestStore;
}

const NO_CHILDREN: readonly Digest[] = [];

class ManifestNodes {
  readonly #byDigest = new Map<Digest, ManifestNode>();
  readonly #referrers = new Map<Digest, Digest[]>();

  /** An image manifest that refers to nothing, as a line of {@link MANIFESTS}. */
  addManifest([id, digest = '', platform, imageId = '']: readonly string[]): void {
    // Ten thousand of them: they were checked before they were written.
    this.#byDigest.set(digest as Digest, {
      id: Number(id),
      size: undefined,
      platform,
      imageId: imageId === '' ? undefined : (imageId as Digest),
      children: NO_CHILDREN,
    });
  }

  add(row: Row): void {
    const digest = parseDigest(textOf(row, 'digest'));
    const children = optionalTextOf(row, 'children');
    const imageId = optionalTextOf(row, 'image_id');
    this.#byDigest.set(digest, {
      id: integerOf(row, 'id'),
      size: optionalIntegerOf(row, 'size'),
      platform: optionalTextOf(row, 'platform'),
      imageId: imageId === undefined ? undefined : parseDigest(imageId),
      children: children === undefined ? [] : (JSON.parse(children) as [Digest][]).map(([child]) => child),
    });
    const subject = optionalTextOf(row, 'subject');
    if (subject === undefined) return;
    const known = this.#referrers.get(parseDigest(subject));
    if (known === undefined) this.#referrers.set(parseDigest(subject), [digest]);
    else known.push(digest);
  }

  addChild(holder: Digest, child: Digest): void {
    const manifest = this.#byDigest.get(holder);
    if (manifest !== undefined) {
      this.#byDigest.set(holder, { ...manifest, children: [...manifest.children, child] });
    }
  }

  idOf(digest: Digest): number | undefined {
    return this.#byDigest.get(digest)?.id;
  }

  /** Bytes of a manifest that refers to another, as far as it is here; 0 for all else. */
  referrerSize(digest: Digest): number {
    return this.#byDigest.get(digest)?.size ?? 0;
  }

  /** What is known by itself from a target down, with what refers to it; the target in any case. */
  reach(target: Digest): ReadonlySet<Digest> {
    const reached = new Set<Digest>();
    const waiting = [target];
    for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
      if (reached.has(digest)) continue;
      reached.add(digest);
      for (const referrer of this.#referrers.get(digest) ?? []) waiting.push(referrer);
      for (const child of this.#byDigest.get(digest)?.children ?? []) waiting.push(child);
    }
    return reached;
  }

  manifests(target: Digest): readonly { readonly platform: string; readonly imageId: Digest | undefined }[] {
    const found: { platform: string; imageId: Digest | undefined }[] = [];
    const seen = new Set<Digest>();
    const visit = (digest: Digest): void => {
      const manifest = this.#byDigest.get(digest);
      if (manifest === undefined || seen.has(digest)) return;
      seen.add(digest);
      const { platform, imageId } = manifest;
      if (platform !== undefined) found.push({ platform, imageId });
      else for (const child of manifest.children) visit(child);
    };
    visit(target);
    return found;
  }
}

/** The targets of images, and how many bytes each has; 0 where it is not here. */
async function readTargets(statements: Statements): Promise<ReadonlyMap<Digest, number>> {
  const rows = await statements.all(
    `SELECT DISTINCT images.digest, coalesce(blobs.size, 0) AS size
     FROM images LEFT JOIN blobs ON blobs.digest = images.digest`,
  );
  return new Map(rows.map((row) => [parseDigest(textOf(row, 'digest')), integerOf(row, 'size')]));
}
