import { SpecError } from '../../errors.js';
import {
  dateOf,
  integerOf,
  jsonOf,
  labelsOf,
  type MetadataDatabase,
  type Row,
  type Statements,
  textOf,
  type Transaction,
} from '../../metadata/index.js';
import { type Descriptor, formatReference, parseDescriptor, parseReference } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import { fileError, onReserve } from '../store/layout-files.js';
import { markIndexStale, renderIndex, type RenderIndexOptions } from './render-index.js';
import type { Labels } from '../store/content-store.js';

/** A name for a descriptor in the store. Several names may have one target. */
export interface ImageRecord {
  /** Canonical reference: `docker.io/library/alpine:3`. */
  readonly name: string;
  /** What the name stands for: an index or a manifest. */
  readonly target: Descriptor;
  /** When the name was first given. */
  readonly createdAt: Date;
  /** When the name was last given a target, or other labels. */
  readonly updatedAt: Date;
  /** When somebody last pulled, mounted or unpacked it. */
  readonly usedAt: Date;
  /** What users and other programs attached to it. */
  readonly labels: Labels;
  /** Never collected for being unused. */
  readonly pinned: boolean;
  /** Whether the image does not need the blobs of layers that are unpacked. */
  readonly discardLayers: boolean;
}

export interface PutImage {
  readonly name: string;
  readonly target: Descriptor;
  /** Absent: those it had stay. */
  readonly labels?: Labels | undefined;
  /** Whether the image goes without the blobs of unpacked layers. Absent: as it was; false for a new name. */
  readonly discardLayers?: boolean | undefined;
}

/** The label by which `discardLayers` is shown; before schema 6 it was also kept so. */
export const DISCARD_LAYERS_LABEL = 'landfall/discard-layers';

/**
 * The images of a store, by canonical name. The database is the truth; `index.json` is made from it after
 * each change, before the change is reported done, so that other tools read the store in place.
 */
export class ImageStore {
  readonly #root: string;
  readonly #database: MetadataDatabase;
  readonly #rendering: RenderIndexOptions;

  constructor(root: string, database: MetadataDatabase, o: RenderIndexOptions = {}) {
    this.#root = root;
    this.#database = database;
    this.#rendering = o;
  }

  async get(name: string): Promise<ImageRecord | undefined> {
    const row = await this.#database.get('SELECT * FROM images WHERE name = ?', [name]);
    return row === undefined ? undefined : recordOf(row);
  }

  /** All images, in order of their names. */
  async list(statements: Statements = this.#database): Promise<readonly ImageRecord[]> {
    return (await statements.all('SELECT * FROM images ORDER BY name')).map(recordOf);
  }

  /**
   * Gives a name its target, in place of the one it had: it keeps its creation time, its pin, and its labels
   * unless new ones are given. The blobs are the caller's to have put there before.
   *
   * @throws SpecError INVALID_REFERENCE for a name that is not canonical; ContentError
   */
  async put({ name, target, labels, discardLayers }: PutImage): Promise<ImageRecord> {
    requireCanonical(name);
    const record = await this.#database.transaction(async (transaction) => {
      await markIndexStale(transaction);
      return await transaction.get(
        `INSERT INTO images (name, digest, media_type, size, target, created_at, updated_at, used_at, labels, discard_layers)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6, coalesce(?7, '{}'), coalesce(?8, 0))
         ON CONFLICT (name) DO UPDATE SET digest = ?2, media_type = ?3, size = ?4, target = ?5, updated_at = ?6, used_at = ?6,
           labels = coalesce(?7, labels), discard_layers = coalesce(?8, discard_layers)
         RETURNING *`,
        [
          name,
          target.digest,
          target.mediaType,
          target.size,
          JSON.stringify(target),
          Date.now(),
          labels === undefined ? null : JSON.stringify(labels),
          discardLayers === undefined ? null : Number(discardLayers),
        ],
      );
    });
    if (record === undefined) throw new Error(`the image ${name} vanished while it was put`);
    faultPoint('image-put:recorded');
    await this.#render();
    faultPoint('image-put:done');
    return recordOf(record);
  }

  /** Notes that the image is being used now. An unknown name is not an error. */
  async touch(name: string): Promise<void> {
    await this.#database.run('UPDATE images SET used_at = ? WHERE name = ?', [Date.now(), name]);
  }

  /**
   * The same, unless the name has been given a target or labels since its record was read, or is gone.
   * Whether it was noted, which says that all the time the name has stood for its target.
   */
  async touchUnchanged({ name, createdAt, updatedAt }: ImageRecord): Promise<boolean> {
    const { changes } = await this.#database.run(
      'UPDATE images SET used_at = ? WHERE name = ? AND created_at = ? AND updated_at = ?',
      [Date.now(), name, createdAt.getTime(), updatedAt.getTime()],
    );
    return changes > 0;
  }

  /** Sets or takes away the pin. Undefined where there is no such name. */
  async pin(name: string, pinned: boolean): Promise<ImageRecord | undefined> {
    return await this.#change('UPDATE images SET pinned = ?2 WHERE name = ?1 RETURNING *', [
      name,
      Number(pinned),
    ]);
  }

  /**
   * Changes labels of an image; those with null go, and others stay. Undefined where there is no such name.
   */
  async label(
    name: string,
    changes: Readonly<Record<string, string | null>>,
  ): Promise<ImageRecord | undefined> {
    return await this.#change(
      'UPDATE images SET labels = json_patch(labels, ?2), updated_at = ?3 WHERE name = ?1 RETURNING *',
      [name, JSON.stringify(changes), Date.now()],
    );
  }

  async #change(sql: string, values: readonly (string | number)[]): Promise<ImageRecord | undefined> {
    const row = await this.#database.transaction((transaction) => transaction.get(sql, values));
    return row === undefined ? undefined : recordOf(row);
  }

  /** Removes a name; its content stays until it is collected. False where there is no such name. */
  async delete(name: string): Promise<boolean> {
    return await this.deleteWithin(async (_, drop) => drop(name));
  }

  /**
   * Removes names in a transaction that does more; `drop` says whether a name was there. When it resolves,
   * `index.json` has followed.
   */
  async deleteWithin<T>(
    body: (transaction: Transaction, drop: (name: string) => Promise<boolean>) => Promise<T>,
  ): Promise<T> {
    const dropped: string[] = [];
    const result = await this.#database.transaction((transaction) =>
      body(transaction, async (name) => {
        const { changes } = await transaction.run('DELETE FROM images WHERE name = ?', [name]);
        if (changes === 0) return false;
        dropped.push(name);
        await markIndexStale(transaction);
        return true;
      }),
    );
    if (dropped.length > 0) await this.#render();
    return result;
  }

  async #render(): Promise<void> {
    // The change is made, and must not fail for want of the little space that the index takes.
    await onReserve(this.#root, async () => {
      try {
        await renderIndex(this.#root, this.#database, this.#rendering);
      } catch (error) {
        throw fileError(error, 'write index.json', this.#root);
      }
    });
  }
}

function requireCanonical(name: string): void {
  const canonical = formatReference(parseReference(name));
  if (canonical === name) return;
  throw new SpecError('INVALID_REFERENCE', `${name} is not a canonical image name`, {
    hint: `Write ${canonical}.`,
  });
}

/** Of any schema: one that is only read is not migrated, nor is one that is rebuilt. */
export function recordOf(row: Row): ImageRecord {
  const { [DISCARD_LAYERS_LABEL]: label, ...labels } = labelsOf(row, 'labels');
  return {
    name: textOf(row, 'name'),
    target: parseDescriptor(jsonOf(row, 'target'), 'target'),
    createdAt: dateOf(row, 'created_at'),
    updatedAt: dateOf(row, 'updated_at'),
    usedAt: dateOf(row, 'used_at'),
    labels,
    pinned: integerOf(row, 'pinned') === 1,
    discardLayers:
      row['discard_layers'] === undefined ? label !== undefined : integerOf(row, 'discard_layers') === 1,
  };
}

/** Looks up images by their canonical names. */
export interface ImageCatalog {
  /**
   * An image by its canonical name; undefined where there is none.
   *
   * @throws {ContentError} FILESYSTEM, STORE_CORRUPT
   */
  get(name: string): Promise<CatalogImage | undefined>;
  /**
   * All images, in order of their names.
   *
   * @throws {ContentError} FILESYSTEM, STORE_CORRUPT
   */
  list(): Promise<readonly CatalogImage[]>;
}

export interface CatalogImage extends ImageRecord {
  /** The root of the additional store that the name is in; absent for the main store's own. */
  readonly additionalRoot?: string;
}

interface AdditionalImages {
  readonly root: string;
  readonly images: ImageCatalog;
}

/** The names of a store and of additional ones; where several have one, the first's counts. */
export class JoinedImages implements ImageCatalog {
  readonly #own: ImageCatalog;
  readonly #additional: readonly AdditionalImages[];

  constructor(own: ImageCatalog, additional: readonly AdditionalImages[]) {
    this.#own = own;
    this.#additional = additional;
  }

  async get(name: string): Promise<CatalogImage | undefined> {
    const own = await this.#own.get(name);
    if (own !== undefined) return own;
    for (const { root, images } of this.#additional) {
      const found = await images.get(name);
      if (found !== undefined) return { ...found, additionalRoot: root };
    }
    return undefined;
  }

  async list(): Promise<readonly CatalogImage[]> {
    const byName = new Map(
      (await this.#own.list()).map((image): [string, CatalogImage] => [image.name, image]),
    );
    for (const { root, images } of this.#additional) {
      for (const image of await images.list()) {
        if (!byName.has(image.name)) byName.set(image.name, { ...image, additionalRoot: root });
      }
    }
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}
