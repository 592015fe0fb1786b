import { labelsOf, type MetadataDatabase, type Statements, textOf } from '../../metadata/index.js';
import { type Descriptor, type Digest, type Reference, repositoryName } from '../../spec/index.js';
import type { Labels } from '../store/content-store.js';

/*
 * What a store notes of a blob for a registry that it is served as. All repositories share one file for a blob, so the file
 * does not say which of them have it. The notes are rows of `blob_repositories`, and go with the blob.
 */

/**
 * What a repository has to do with a blob: the manifest was pushed to it, or the blob deleted from it, and
 * not since otherwise.
 */
export type RepositoryState = 'pushed' | 'deleted';

/**
 * The first schema with the table; before it the notes were labels, as they still are in a store that is only
 * read.
 */
const TABLE_SINCE = 6;

/** The repositories of each state, with a space between them. */
const LABELS: readonly (readonly [RepositoryState, string])[] = [
  ['pushed', 'landfall.pushed-to'],
  ['deleted', 'landfall.deleted-from'],
];

/** A store and those that are additional to it; the first that has a blob answers. */
export interface NotingStores {
  readonly database: MetadataDatabase;
  readonly additional?: readonly { readonly database: MetadataDatabase }[] | undefined;
}

/** What is noted of a blob and a repository. */
export async function repositoryState(
  { database, additional = [] }: NotingStores,
  digest: Digest,
  repository: string,
): Promise<RepositoryState | undefined> {
  for (const from of [database, ...additional.map((store) => store.database)]) {
    if (from.schemaVersion < TABLE_SINCE) {
      const row = await from.get('SELECT labels FROM blobs WHERE digest = ?', [digest]);
      if (row !== undefined) return labelledRepositories(labelsOf(row, 'labels')).states.get(repository);
      continue;
    }
    const row = await from.get(
      `SELECT coalesce(state, '') AS state FROM blobs
       LEFT JOIN blob_repositories AS noted ON noted.digest = blobs.digest AND repository = ?2
       WHERE blobs.digest = ?1`,
      [digest, repository],
    );
    if (row !== undefined) return stateOf(textOf(row, 'state'));
  }
  return undefined;
}

/** Notes that a repository has blobs again. */
export async function forgetDeleted(
  database: MetadataDatabase,
  digests: readonly Digest[],
  repository: string,
): Promise<void> {
  const noted = `FROM blob_repositories
    WHERE digest IN (SELECT value FROM json_each(?1)) AND repository = ?2 AND state = 'deleted'`;
  const parameters = [JSON.stringify(digests), repository];
  // A look first: mostly there is nothing to change, and nothing has to wait for the disk.
  if ((await database.get(`SELECT 1 ${noted} LIMIT 1`, parameters)) === undefined) return;
  await database.run(`DELETE ${noted}`, parameters);
}

/** The repositories that a blob was pushed to, and not deleted from since. */
export async function repositoriesWith(
  database: MetadataDatabase,
  digest: Digest,
): Promise<readonly string[]> {
  const rows = await database.all(
    `SELECT repository FROM blob_repositories WHERE digest = ? AND state = 'pushed' ORDER BY repository`,
    [digest],
  );
  return rows.map((row) => textOf(row, 'repository'));
}

/** Notes what a repository has to do with a blob. False where the blob is not below this root. */
export async function noteRepository(
  database: MetadataDatabase,
  { digest, repository, state }: NotedRepository,
): Promise<boolean> {
  const { changes } = await database.run(
    `INSERT INTO blob_repositories (digest, repository, state)
     SELECT digest, ?2, ?3 FROM blobs WHERE digest = ?1
     ON CONFLICT (digest, repository) DO UPDATE SET state = excluded.state`,
    [digest, repository, state],
  );
  return changes > 0;
}

/** A row of `blob_repositories`. */
export interface NotedRepository {
  readonly digest: Digest;
  readonly repository: string;
  readonly state: RepositoryState;
}

/** For a rebuild: records notes of blobs that are here. */
export async function recordRepositories(
  statements: Statements,
  notes: readonly NotedRepository[],
): Promise<void> {
  await statements.run(
    `INSERT OR IGNORE INTO blob_repositories (digest, repository, state)
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
     WHERE EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = value ->> 0)`,
    [JSON.stringify(notes.map(({ digest, repository, state }) => [digest, repository, state]))],
  );
}

/** What the labels of a blob note, as they did before the table, and the labels without it. */
export function labelledRepositories(labels: Labels): {
  readonly states: ReadonlyMap<string, RepositoryState>;
  readonly others: Labels;
} {
  const states = new Map<string, RepositoryState>();
  for (const [state, label] of LABELS) {
    for (const name of (labels[label] ?? '').split(' ')) if (name !== '') states.set(name, state);
  }
  const others = Object.entries(labels).filter(([name]) => LABELS.every(([, label]) => label !== name));
  return { states, others: Object.fromEntries(others) };
}

export function stateOf(text: string): RepositoryState | undefined {
  return LABELS.map(([state]) => state).find((state) => state === text);
}

/** Repository, then tag, then what it points to. A repository whose images have no tag is there with none. */
export type TagTable = ReadonlyMap<string, ReadonlyMap<string, Descriptor>>;

/**
 * Sorts named images by repository and tag. Of two with one name the first counts, as for skopeo. Where a
 * digest stands beside a tag, the tag is but a note of where the digest was found once, and names nothing.
 */
export function tagTable(images: Iterable<{ reference: Reference; target: Descriptor }>): TagTable {
  const table = new Map<string, Map<string, Descriptor>>();
  for (const { reference, target } of images) {
    const name = repositoryName(reference);
    const tags = table.get(name) ?? new Map<string, Descriptor>();
    const { tag, digest } = reference;
    if (tag !== undefined && digest === undefined && !tags.has(tag)) tags.set(tag, target);
    table.set(name, tags);
  }
  return table;
}
