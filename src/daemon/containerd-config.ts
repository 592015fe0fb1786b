import { isPlainObject } from '@sindresorhus/is';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LandfallError, systemCode } from '../errors.js';
import { parseToml, type TomlTable } from '../registry/hosts/toml-table.js';

/** A value of a configuration. */
export interface ConfiguredValue {
  readonly value: unknown;
  /** `/etc/containerd/config.toml:12` */
  readonly place: string;
}

/** The version of a file that names none, which containerd 1.7 still reads (containerd: docs/ops.md). */
const FIRST_VERSION = 1;
/** From this version on, what one file says of a plugin is added to what another one says. */
const MERGING_VERSION = 3;

/** containerd's configuration, of a file and of those that it imports (containerd: docs/man/containerd-config.toml.5.md). */
export class ContainerdConfig {
  /** Of the file itself. */
  readonly version: number;
  /** In the order in which they are read; what a later one says counts. */
  readonly #files: readonly TomlTable[];

  private constructor(version: number, files: readonly TomlTable[]) {
    this.version = version;
    this.#files = files;
  }

  /**
   * @param file its absolute path
   * @throws LandfallError INVALID_CONFIG (a file cannot be read, or is no TOML)
   */
  static async read(file: string): Promise<ContainerdConfig> {
    const files = new Map<string, TomlTable>();
    const pending = [file];
    for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
      if (files.has(path)) continue;
      const table = parseToml(await textOf(path), path);
      files.set(path, table);
      pending.push(...(await importsOf(table, path)));
    }
    const version = files.get(file)?.get('version');
    return new ContainerdConfig(typeof version === 'number' ? version : FIRST_VERSION, [...files.values()]);
  }

  /** The value that counts of a key in a table, or in a table of a table; undefined where no file has it. */
  at(...path: readonly [string, ...string[]]): ConfiguredValue | undefined {
    const [key = '', ...outer] = path.toReversed();
    for (const file of this.#deciding(path).toReversed()) {
      const table = tableAt(file, outer.toReversed());
      const value = table?.get(key);
      if (table !== undefined && value !== undefined) return { value, place: table.placeOf(key) };
    }
    return undefined;
  }

  /** Of plugins it is the last file alone that says anything of one, as far as containerd replaces instead of merging. */
  #deciding([section, plugin]: readonly string[]): readonly TomlTable[] {
    const replaces = section === 'proxy_plugins' || (section === 'plugins' && this.version < MERGING_VERSION);
    if (!replaces || plugin === undefined) return this.#files;
    const last = this.#files.findLast((file) => tableAt(file, [section, plugin]) !== undefined);
    return last === undefined ? [] : [last];
  }
}

function tableAt(file: TomlTable, path: readonly string[]): TomlTable | undefined {
  let table: TomlTable | undefined = file;
  for (const key of path) table = isPlainObject(table?.get(key)) ? table.table(key) : undefined;
  return table;
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new LandfallError(
      'INVALID_CONFIG',
      `containerd's configuration ${path} cannot be read (${systemCode(cause) ?? 'unknown error'})`,
      { cause, hint: 'Name its file, or write it: deploy/containerd/ has one that is complete.' },
    );
  });
}

/** Patterns are known in the last part of a path. */
async function importsOf(table: TomlTable, file: string): Promise<readonly string[]> {
  const imports = table.get('imports');
  if (!Array.isArray(imports)) return [];
  const found: string[] = [];
  for (const text of imports) {
    if (typeof text !== 'string') continue;
    const path = resolve(dirname(file), text);
    found.push(...(path.includes('*') ? await filesThatFit(path) : [path]));
  }
  return found;
}

async function filesThatFit(pattern: string): Promise<readonly string[]> {
  const directory = dirname(pattern);
  const escaped = basename(pattern).replace(/[.+^${}()|[\]\\]/g, '\\$&');
  const fits = new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
  const names = await readdir(directory).catch(() => []);
  return names
    .filter((name) => fits.test(name))
    .sort()
    .map((name) => join(directory, name));
}
