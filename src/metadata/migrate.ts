import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ContentError, LandfallError, systemCode } from '../errors.js';
import { integerOf } from './row.js';
import { corruptDatabase, SqliteConnection } from './sqlite-connection.js';

/**
 * Brings a database's schema up to date, in one transaction. One that an older program wrote is backed up
 * before, under the same write lock: so the backup is what was there at that moment, and of several processes
 * that come at once one makes it.
 *
 * @throws ContentError STORE_CORRUPT (no schema, where none may be made; or not the schema that it says),
 *   NO_SPACE, LOCKED; LandfallError UNSUPPORTED (written by a newer program)
 */
export async function migrate(connection: SqliteConnection, o: { create: boolean }): Promise<void> {
  const found = await schemaVersion(connection);
  if (found === SCHEMA_VERSION) return;
  if ((found === 0 && !o.create) || found < 0) throw corruptDatabase(connection.file, 'has no schema');
  if (found > SCHEMA_VERSION) throw newerSchema(connection.file, found);
  await connection.run('BEGIN IMMEDIATE');
  let backup: string | undefined;
  try {
    // Another process may have been faster.
    const current = await schemaVersion(connection);
    if (current > 0 && current < SCHEMA_VERSION) backup = await backUp(connection.file, current);
    for (const { version, sql } of MIGRATIONS) {
      if (version > current) await connection.exec(`${sql}; PRAGMA user_version = ${version};`);
    }
    await connection.run('COMMIT');
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw backup === undefined ? error : migrationFailed(connection.file, found, backup, error);
  }
  if (backup !== undefined) await pruneBackups(connection.file);
}

export async function schemaVersion(connection: SqliteConnection): Promise<number> {
  const row = await connection.get('PRAGMA user_version');
  return row === undefined ? 0 : integerOf(row, 'user_version');
}

/** No program will have made so many steps: a larger number is not a newer schema, but a damaged byte. */
const HIGHEST_PLAUSIBLE = 1000;

export function newerSchema(file: string, found: number): LandfallError {
  if (found > HIGHEST_PLAUSIBLE) return corruptDatabase(file, `says that it has schema ${found}`);
  return new LandfallError(
    'UNSUPPORTED',
    `the database ${file} has schema ${found}, and this program knows none beyond ${SCHEMA_VERSION}`,
    { hint: 'Use the version of landfall that wrote it, or a newer one.' },
  );
}

/** Nothing was changed; the backup lets the older program go on. */
function migrationFailed(file: string, found: number, backup: string, cause: unknown): ContentError {
  const message = `the database ${file} could not be brought from schema ${found} to ${SCHEMA_VERSION}, and is as it was`;
  const details = { path: file, backup };
  if (cause instanceof ContentError) {
    return new ContentError(cause.code, `${message}: ${cause.message}`, {
      cause,
      details,
      retryable: cause.retryable,
      hint: `${cause.hint} A backup is at ${backup}.`,
    });
  }
  const reason = cause instanceof Error ? cause.message : (systemCode(cause) ?? String(cause));
  return new ContentError('STORE_CORRUPT', `${message}: ${reason}`, {
    cause,
    details,
    hint: `Rebuild it from the blobs and snapshots beside it: landfall fsck --rebuild. A backup is at ${backup}.`,
  });
}

/** One step of the schema. Steps are only ever appended; a published one never changes. */
export interface Migration {
  /** What `PRAGMA user_version` says after it. */
  readonly version: number;
  readonly sql: string;
}

/*
 * Times are milliseconds since 1970, sizes are bytes, labels are a JSON object of strings. Digests and chain IDs are
 * written `algorithm:encoded`.
 */
const FIRST = `
CREATE TABLE blobs (
  digest     TEXT PRIMARY KEY,
  size       INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  source     TEXT,                         -- registry/repository it came from, for repair
  labels     TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

CREATE TABLE images (
  name       TEXT PRIMARY KEY,             -- canonical reference
  digest     TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size       INTEGER NOT NULL,
  target     TEXT NOT NULL,                -- the whole descriptor, as JSON
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  used_at    INTEGER NOT NULL,
  labels     TEXT NOT NULL DEFAULT '{}',
  pinned     INTEGER NOT NULL DEFAULT 0 CHECK (pinned IN (0, 1))
) STRICT;
CREATE INDEX images_by_digest ON images (digest);

-- Work that a committed change left to be done outside the database; see ImageStore.
CREATE TABLE pending (
  task  TEXT PRIMARY KEY,
  token INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
  id         TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE lease_resources (
  lease_id TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
  kind     TEXT NOT NULL CHECK (kind IN ('blob', 'snapshot')),
  key      TEXT NOT NULL,                  -- a digest, or a snapshot's key or name
  PRIMARY KEY (lease_id, kind, key)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: the id names a directory, so one that was removed must never come back.
CREATE TABLE snapshots (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  snapshotter TEXT NOT NULL,
  name        TEXT NOT NULL,               -- the key while active or a view, the name once committed
  kind        TEXT NOT NULL CHECK (kind IN ('active', 'view', 'committed')),
  parent_id   INTEGER REFERENCES snapshots (id),
  labels      TEXT NOT NULL DEFAULT '{}',
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  bytes       INTEGER NOT NULL DEFAULT 0,
  inodes      INTEGER NOT NULL DEFAULT 0,
  UNIQUE (snapshotter, name)
) STRICT;
CREATE INDEX snapshots_by_parent ON snapshots (parent_id);

-- Which snapshot holds the verified content of a chain of layers. Several names may stand for one chain.
CREATE TABLE chains (
  snapshotter TEXT NOT NULL,
  chain_id    TEXT NOT NULL,
  diff_id     TEXT NOT NULL,
  snapshot_id INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
  PRIMARY KEY (snapshotter, chain_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX chains_by_snapshot ON chains (snapshot_id);
`;

/*
 * What indexes and manifests say is kept beside them. A document never changes, so this is as true as its digest, and
 * a question about an image reads no files; it is also what is left of a document whose blob is damaged.
 */
const SECOND = `
CREATE TABLE documents (
  id         INTEGER PRIMARY KEY,
  digest     TEXT NOT NULL UNIQUE,
  media_type TEXT NOT NULL,
  subject    TEXT,                         -- digest of what a referrer refers to
  platform   TEXT,                         -- of an image manifest whose config is known
  image_id   TEXT,                         -- digest of an image manifest's config
  children   TEXT NOT NULL,                -- JSON: [[digest, size], …] in the document's order; an image's config is the first
  chain_ids  TEXT NOT NULL DEFAULT '[]'    -- JSON: of an image manifest's layers, bottom first
) STRICT;
CREATE INDEX documents_by_subject ON documents (subject) WHERE subject IS NOT NULL;

-- The same the other way round: which documents list a blob, and which are unpacked to a chain.
CREATE TABLE links (
  child    TEXT NOT NULL,
  document INTEGER NOT NULL,
  PRIMARY KEY (child, document)
) STRICT, WITHOUT ROWID;
CREATE TABLE chain_links (
  chain_id TEXT NOT NULL,
  document INTEGER NOT NULL,
  PRIMARY KEY (chain_id, document)
) STRICT, WITHOUT ROWID;

CREATE INDEX chains_by_chain ON chains (chain_id);
CREATE INDEX snapshots_unmeasured ON snapshots (id) WHERE inodes = 0;

-- Whose it is, so that one whose process died ends at once where that can be known.
ALTER TABLE leases ADD COLUMN owner TEXT NOT NULL DEFAULT '';

-- Blobs that were dropped on purpose, once they were unpacked: their absence is no damage.
CREATE TABLE discarded (
  digest       TEXT PRIMARY KEY,
  size         INTEGER NOT NULL,
  source       TEXT,                       -- registry/repository it came from
  discarded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/*
 * What may be named before it is on the disk: see database.ts. The indexes hold only what is marked, so that where nothing is
 * they cost nothing.
 */
const THIRD = `
ALTER TABLE blobs ADD COLUMN unsynced TEXT;     -- the boot in which its content was written that nobody has synced
ALTER TABLE snapshots ADD COLUMN unsynced TEXT;
ALTER TABLE pending ADD COLUMN unsynced TEXT;   -- the task is done, but what it wrote is not synced
CREATE INDEX blobs_unsynced ON blobs (unsynced) WHERE unsynced IS NOT NULL;
CREATE INDEX snapshots_unsynced ON snapshots (unsynced) WHERE unsynced IS NOT NULL;
`;

/*
 * That an image had what a signature policy asked for. A signature never ceases to be what it was, but what is asked for changes:
 * `requirement` is the digest of all that was, keys included.
 */
const FOURTH = `
CREATE TABLE verifications (
  digest      TEXT NOT NULL,               -- of the manifest or index that was signed
  name        TEXT NOT NULL,               -- what the image was called that it was verified for
  requirement TEXT NOT NULL,
  policy      TEXT NOT NULL,               -- path of its file
  scope       TEXT NOT NULL,
  signed_by   TEXT NOT NULL,
  identity    TEXT,                        -- what the signature says that it is for
  format      TEXT NOT NULL,
  signature   TEXT NOT NULL,               -- digest of the signature's manifest
  verified_at INTEGER NOT NULL,
  PRIMARY KEY (digest, name, requirement)
) STRICT, WITHOUT ROWID;
`;

/*
 * Milliseconds are too coarse for snapshots: containerd compares their times with its own clock. Older rows
 * keep whole milliseconds.
 */
const FIFTH = `
ALTER TABLE snapshots ADD COLUMN created_us INTEGER NOT NULL DEFAULT 0;   -- microseconds after created_at
ALTER TABLE snapshots ADD COLUMN updated_us INTEGER NOT NULL DEFAULT 0;   -- microseconds after updated_at
`;

/*
 * State that was kept in the text of labels. A process of an older program that is still running would go on to write
 * it there, where nothing looks for it: the triggers refuse that, and say why.
 */
const RESTART =
  'a newer landfall has changed the schema of this store: restart this process with that version';
const SIXTH = `
ALTER TABLE images ADD COLUMN discard_layers INTEGER NOT NULL DEFAULT 0 CHECK (discard_layers IN (0, 1));
UPDATE images SET discard_layers = 1, labels = json_remove(labels, '$."landfall/discard-layers"')
WHERE iif(json_valid(labels), json_extract(labels, '$."landfall/discard-layers"'), NULL) IS NOT NULL;

-- Repositories that a blob was pushed to, or deleted from, where the store is served as a registry.
CREATE TABLE blob_repositories (
  id         INTEGER PRIMARY KEY,
  digest     TEXT NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('pushed', 'deleted')),
  UNIQUE (digest, repository)
) STRICT;
INSERT OR IGNORE INTO blob_repositories (digest, repository, state)
SELECT blobs.digest, names.value, states.value ->> 0
FROM blobs, json_each('[["pushed", "landfall.pushed-to"], ["deleted", "landfall.deleted-from"]]') AS states,
  json_each(iif(json_valid(labels),
    '[' || replace(json_quote(coalesce(labels -> '$' ->> (states.value ->> 1), '')), ' ', '","') || ']', '[]')) AS names
WHERE names.value <> '';
UPDATE blobs SET labels = json_remove(labels, '$."landfall.pushed-to"', '$."landfall.deleted-from"')
WHERE json_valid(labels) AND digest IN (SELECT digest FROM blob_repositories);

-- A row that is a layer in the making, and no snapshot yet; the other program that retains a snapshot; and whether that
-- program gave all that its parent has to the owners of a user namespace.
ALTER TABLE snapshots ADD COLUMN unpacking INTEGER NOT NULL DEFAULT 0 CHECK (unpacking IN (0, 1));
ALTER TABLE snapshots ADD COLUMN retained_by TEXT;
ALTER TABLE snapshots ADD COLUMN remapped INTEGER NOT NULL DEFAULT 0 CHECK (remapped IN (0, 1));
-- Images that end with a snapshot that another program retains.
CREATE TABLE snapshot_images (
  id          INTEGER PRIMARY KEY,
  snapshot_id INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
  name        TEXT NOT NULL,               -- canonical reference
  path        TEXT NOT NULL,               -- digests from the index to the manifest, separated by spaces
  UNIQUE (snapshot_id, name)
) STRICT;
INSERT INTO snapshot_images (snapshot_id, name, path)
SELECT snapshots.id, substr(given.key, 16), given.value
FROM snapshots, json_each(iif(json_valid(labels), labels, '{}')) AS given WHERE given.key GLOB 'landfall/image/*';
UPDATE snapshots SET
  unpacking = coalesce(labels ->> '$."landfall/unpacking"' = 'true', 0),
  retained_by = labels ->> '$."landfall/held-by"',
  remapped = labels -> '$."landfall/remapped"' IS NOT NULL,
  labels = (SELECT json_group_object(key, value) FROM json_each(labels) WHERE key NOT GLOB 'landfall/*')
WHERE iif(json_valid(labels), instr(labels, '"landfall/') > 0, 0);

CREATE TRIGGER snapshots_by_older_insert BEFORE INSERT ON snapshots
WHEN instr(NEW.labels, '"landfall/') > 0 BEGIN SELECT RAISE(ABORT, '${RESTART}'); END;
CREATE TRIGGER snapshots_by_older_update BEFORE UPDATE OF name, labels ON snapshots
WHEN instr(NEW.labels, '"landfall/') > 0 OR (OLD.unpacking = 1 AND NEW.unpacking = 1 AND NEW.name <> OLD.name)
BEGIN SELECT RAISE(ABORT, '${RESTART}'); END;
CREATE TRIGGER snapshots_by_older_delete BEFORE DELETE ON snapshots
WHEN OLD.retained_by IS NOT NULL BEGIN SELECT RAISE(ABORT, '${RESTART}'); END;

CREATE TRIGGER images_by_older_insert BEFORE INSERT ON images
WHEN instr(NEW.labels, '"landfall/discard-layers"') > 0 BEGIN SELECT RAISE(ABORT, '${RESTART}'); END;
CREATE TRIGGER images_by_older_update BEFORE UPDATE OF labels ON images
WHEN instr(NEW.labels, '"landfall/discard-layers"') > 0 BEGIN SELECT RAISE(ABORT, '${RESTART}'); END;
CREATE TRIGGER blobs_by_older_update BEFORE UPDATE OF labels ON blobs
WHEN instr(NEW.labels, '"landfall.pushed-to"') > 0 OR instr(NEW.labels, '"landfall.deleted-from"') > 0
BEGIN SELECT RAISE(ABORT, '${RESTART}'); END;
`;

const SEVENTH = `
-- Canonical names, or globs over them, of images that a daemon keeps from being collected; it is known by its socket's path.
CREATE TABLE daemon_pins (
  daemon  TEXT NOT NULL,
  pattern TEXT NOT NULL,
  PRIMARY KEY (daemon, pattern)
) STRICT, WITHOUT ROWID;
`;

/** In order of version, without gaps. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, sql: FIRST },
  { version: 2, sql: SECOND },
  { version: 3, sql: THIRD },
  { version: 4, sql: FOURTH },
  { version: 5, sql: FIFTH },
  { version: 6, sql: SIXTH },
  { version: 7, sql: SEVENTH },
];

/** The schema that this program writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.at(-1)?.version ?? 0;

/** How many backups stay; each is as large as the database was. */
const KEPT = 2;
const TEMPORARY = '.tmp';

/**
 * Writes what was committed of a database to `<file>.backup-v<version>-<time>`, durably, and returns that
 * path. By SQLite itself and on a connection of its own: to copy the file, a process would have to open and
 * close it, and would so lose all its locks on it. The caller has the write lock.
 */
async function backUp(file: string, version: number): Promise<string> {
  const time = new Date().toISOString().replaceAll(/[-:]/g, '');
  const backup = `${file}.backup-v${version}-${time}`;
  const temporary = `${backup}${TEMPORARY}`;
  const directory = dirname(file);
  // The process that was making these is dead, or it would hold the write lock.
  for (const name of await backupsOf(file, { finished: false }))
    await rm(join(directory, name), { force: true });
  try {
    const connection = await SqliteConnection.open(file, 'read');
    try {
      await connection.run('VACUUM INTO ?', [temporary]);
    } finally {
      await connection.close();
    }
    await sync(temporary);
    await rename(temporary, backup);
    await sync(directory);
    return backup;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw backupFailed(file, error);
  }
}

/** Removes all backups but the newest. What cannot be removed stays. */
async function pruneBackups(file: string): Promise<void> {
  const names = await backupsOf(file, { finished: true }).catch(() => []);
  const oldestFirst = names.sort((a, b) => (timeOf(a) < timeOf(b) ? -1 : 1));
  for (const name of oldestFirst.slice(0, -KEPT)) {
    await rm(join(dirname(file), name), { force: true }).catch(() => undefined);
  }
}

function backupFailed(file: string, cause: unknown): unknown {
  if (!(cause instanceof ContentError)) return cause;
  const { code, message, hint, retryable } = cause;
  return new ContentError(code, `the database ${file} cannot be backed up before it is changed: ${message}`, {
    cause,
    retryable,
    hint,
    details: { path: file },
  });
}

async function backupsOf(file: string, o: { finished: boolean }): Promise<string[]> {
  const names = await readdir(dirname(file));
  return names.filter(
    (name) => name.startsWith(`${basename(file)}.backup-v`) && name.endsWith(TEMPORARY) !== o.finished,
  );
}

function timeOf(name: string): string {
  return name.slice(name.lastIndexOf('-'));
}

async function sync(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
