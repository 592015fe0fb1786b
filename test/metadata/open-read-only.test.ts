import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { MetadataDatabase, SCHEMA_VERSION } from '../../src/metadata/index.js';
import { holdersOf } from '../../src/system/index.js';
import { isRoot } from '../support/needs-root.js';

const INSERT = 'INSERT INTO leases (id, created_at, expires_at) VALUES (?, 1, 2)';
const MODULE = new URL('../../dist/src/metadata/index.js', import.meta.url).href;

describe('MetadataDatabase.openReadOnly', () => {
  let directory: string;
  let file: string;
  let temporary: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-read-only-'));
    file = join(directory, 'metadata.db');
    temporary = await mkdtemp(join(tmpdir(), 'landfall-read-only-tmp-'));
    vi.stubEnv('TMPDIR', temporary);
    await using database = await MetadataDatabase.open(file);
    await database.run(INSERT, ['first']);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    for (const path of [directory, temporary]) await rm(path, { recursive: true, force: true });
  });

  /** Makes it one whose last change is in its log alone, as a process leaves it that dies. */
  const leaveLog = async (suffixes: readonly string[]): Promise<void> => {
    {
      await using database = await MetadataDatabase.open(file);
      await database.run(INSERT, ['in the log']);
      for (const suffix of ['', ...suffixes]) await copyFile(`${file}${suffix}`, `${file}-crashed${suffix}`);
    }
    for (const suffix of ['', ...suffixes]) await rename(`${file}-crashed${suffix}`, `${file}${suffix}`);
  };
  const idsOf = async (database: MetadataDatabase): Promise<unknown[]> =>
    (await database.all('SELECT id FROM leases ORDER BY id')).map(({ id }) => id);
  const temporaries = (): Promise<string[]> => readdir(temporary);
  const state = async (): Promise<unknown> => {
    const names = (await readdir(directory)).sort();
    return Promise.all(names.map(async (name) => [name, (await stat(join(directory, name))).mtimeMs]));
  };

  it.each<[string, () => Promise<void>]>([
    ['without a log', () => Promise.resolve()],
    ['with an empty log', () => writeFile(`${file}-wal`, '')],
  ])('reads one %s, and makes nothing beside the file', async (_, prepare) => {
    await prepare();
    const before = await state();
    const database = await MetadataDatabase.openReadOnly(file);
    expect(database).toMatchObject({ schemaVersion: SCHEMA_VERSION, file });
    expect(await idsOf(database)).toEqual(['first']);
    expect(await database.get('SELECT id FROM leases')).toEqual({ id: 'first' });
    // Somebody may come to write it, and would not be noticed.
    expect(holdersOf(file)).toEqual([]);
    await database.close();
    expect(await state()).toEqual(before);
    expect(await temporaries()).toEqual([]);
  });

  it('refuses to write', async () => {
    await using database = await MetadataDatabase.openReadOnly(file);
    for (const writing of [database.run(INSERT, ['x']), database.transaction(() => Promise.resolve())]) {
      await expect(writing).rejects.toMatchObject({
        code: 'IN_USE',
        hint: expect.stringContaining('--root') as string,
      });
    }
    expect(await idsOf(database)).toEqual(['first']);
  });

  it('sees what another one writes that has it open', async () => {
    await using writer = await MetadataDatabase.open(file);
    await writer.run(INSERT, ['second']);
    await using reader = await MetadataDatabase.openReadOnly(file);
    await writer.run(INSERT, ['third']);
    expect(await idsOf(reader)).toEqual(['first', 'second', 'third']);
  });

  it('reads what a process left in the log', async () => {
    await leaveLog(['-wal']);
    const database = await MetadataDatabase.openReadOnly(file);
    expect(await idsOf(database)).toEqual(['first', 'in the log']);
    await database.close();
  });

  it.each<[string, string, () => Promise<unknown>]>([
    ['missing', 'STORE_CORRUPT', () => rm(file)],
    ['empty', 'STORE_CORRUPT', () => truncate(file, 0)],
    ['no database', 'STORE_CORRUPT', () => writeFile(file, 'x'.repeat(5000))],
    ['without a schema', 'STORE_CORRUPT', () => setVersion(0)],
    ['of a newer program', 'UNSUPPORTED', () => setVersion(SCHEMA_VERSION + 1)],
  ])('refuses one that is %s: %s', async (_, code, damage) => {
    await damage();
    await expect(MetadataDatabase.openReadOnly(file)).rejects.toMatchObject({ code });
    expect(await temporaries()).toEqual([]);
  });

  const setVersion = async (version: number): Promise<void> => {
    await using database = await MetadataDatabase.open(file);
    await database.run(`PRAGMA user_version = ${version}`);
  };

  describe.skipIf(!isRoot)('on a file system that is read-only', () => {
    /** Opens it in a mount namespace of its own, and says what it read, and what is open meanwhile. */
    const readBelow = async (): Promise<unknown> => {
      const script = `
        import { readdirSync, readlinkSync } from 'node:fs';
        import { MetadataDatabase } from ${JSON.stringify(MODULE)};
        const database = await MetadataDatabase.openReadOnly(${JSON.stringify(file)});
        const ids = (await database.all('SELECT id FROM leases ORDER BY id')).map(({ id }) => id);
        const links = readdirSync('/proc/self/fd').map((fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } });
        const inPlace = links.includes(${JSON.stringify(file)});
        await database.close();
        console.log(JSON.stringify({ ids, inPlace }));`;
      const shell =
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" --input-type=module -e "$3"';
      const { stdout } = await promisify(execFile)('unshare', [
        '-m',
        'sh',
        '-c',
        shell,
        'sh',
        directory,
        process.execPath,
        script,
      ]);
      return JSON.parse(stdout);
    };

    it('reads the file in place where it has no log', async () => {
      expect(await readBelow()).toEqual({ ids: ['first'], inPlace: true });
    });

    it('reads the file in place where its log is empty', async () => {
      await writeFile(`${file}-wal`, '');
      expect(await readBelow()).toEqual({ ids: ['first'], inPlace: true });
    });

    it.each<[string, string[]]>([
      ['with its index', ['-wal', '-shm']],
      ['without its index', ['-wal']],
    ])('reads what is in the log %s, and leaves no copy', async (_, suffixes) => {
      await leaveLog(suffixes);
      const before = await state();
      expect(await readBelow()).toEqual({ ids: ['first', 'in the log'], inPlace: suffixes.includes('-shm') });
      expect(await state()).toEqual(before);
      expect(await temporaries()).toEqual([]);
    });
  });
});
