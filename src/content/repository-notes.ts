import { integerOf, labelsOf, type MetadataDatabase, type Statements } from '../metadata/index.js';
import { type Descriptor, type Digest, type Reference, repositoryName } from '../spec/index.js';
import type { BlobInfo } from './content-store.js';
import type { Labels } from './images.js';

/*
 * What a store notes of a blob for a registry that it is served as. All repositories share one file for a blob, so that what
 * one of them has or has no more cannot be seen from it. Both notes are labels of the blob, and go with it.
 */

/** The repositories that a blob was deleted from, with a space between them. */
const DELETED_FROM = 'landfall.deleted-from';
/** The repositories that a manifest was pushed to. */
const PUSHED_TO = 'landfall.pushed-to';

/** Whether a blob was deleted from a repository, and has not been pushed to it since. */
export function isDeletedFrom({ labels }: BlobInfo, repository: string): boolean {
  return namesIn(labels, DELETED_FROM).includes(repository);
}

/** Whether a manifest was pushed to a repository, and has not been deleted from it since. */
export function isPushedTo({ labels }: BlobInfo, repository: string): boolean {
  return namesIn(labels, PUSHED_TO).includes(repository);
}

/** Notes that a repository does not have a blob any more. False where the blob is not below this root. */
export async function noteDeleted(
  database: MetadataDatabase,
  digest: Digest,
  repository: string,
): Promise<boolean> {
  return await database.transaction((transaction) =>
    change(transaction, digest, (labels) =>
      without(withName(labels, DELETED_FROM, repository), PUSHED_TO, repository),
    ),
  );
}

/** Notes that a manifest was pushed to a repository. */
export async function notePushed(
  database: MetadataDatabase,
  digest: Digest,
  repository: string,
): Promise<void> {
  await database.transaction((transaction) =>
    change(transaction, digest, (labels) =>
      without(withName(labels, PUSHED_TO, repository), DELETED_FROM, repository),
    ),
  );
}

/** Notes that a repository has blobs again. */
export async function forgetDeleted(
  database: MetadataDatabase,
  digests: readonly Digest[],
  repository: string,
): Promise<void> {
  const noted = await database.get(
    `SELECT count(*) AS many FROM blobs WHERE digest IN (SELECT value FROM json_each(?1)) AND instr(labels, ?2) > 0`,
    [JSON.stringify(digests), DELETED_FROM],
  );
  // A look first: mostly there is nothing to change, and nobody has to wait.
  if (noted === undefined || integerOf(noted, 'many') === 0) return;
  await database.transaction(async (transaction) => {
    for (const digest of digests) {
      await change(transaction, digest, (labels) => without(labels, DELETED_FROM, repository));
    }
  });
}

async function change(
  transaction: Statements,
  digest: Digest,
  edit: (labels: Labels) => Labels,
): Promise<boolean> {
  const row = await transaction.get('SELECT labels FROM blobs WHERE digest = ?', [digest]);
  if (row === undefined) return false;
  const labels = JSON.stringify(edit(labelsOf(row, 'labels')));
  await transaction.run('UPDATE blobs SET labels = ? WHERE digest = ?', [labels, digest]);
  return true;
}

function withName(labels: Labels, label: string, repository: string): Labels {
  const names = namesIn(labels, label);
  return names.includes(repository) ? labels : { ...labels, [label]: [...names, repository].join(' ') };
}

function without(labels: Labels, label: string, repository: string): Labels {
  const names = namesIn(labels, label).filter((name) => name !== repository);
  const others = Object.entries(labels).filter(([name]) => name !== label);
  const own = names.length === 0 ? [] : [[label, names.join(' ')]];
  return Object.fromEntries([...others, ...own]) as Labels;
}

function namesIn(labels: Labels, label: string): readonly string[] {
  return (labels[label] ?? '').split(' ').filter((name) => name !== '');
}

/** Repository, then tag, then what it points to. A repository whose images have no tag is there with none. */
export type TagTable = ReadonlyMap<string, ReadonlyMap<string, Descriptor>>;

/**
 * Sorts named images by repository and tag. Of two with one name the first counts, as for skopeo. Where a digest stands
 * beside a tag, the tag is but a note of where the digest was found once, and names nothing.
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
