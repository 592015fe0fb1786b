import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isPlainObject } from '@sindresorhus/is';
import { LandfallError, systemCode } from '../../errors.js';
import { parseToml, type TomlTable } from '../../formats/toml-table.js';
import type { Capability } from '../../system/index.js';

/** A line that a configuration needs. */
export interface MissingLine {
  /** The header that it stands below, `[proxy_plugins.landfall]`; empty for the top of the file. */
  readonly table: string;
  /** `type = "snapshot"` */
  readonly line: string;
  /** What is so without it. */
  readonly why: string;
  /** What stands there now, and where. */
  readonly instead?: { readonly line: string; readonly place: string } | undefined;
}

export interface ContainerdReport {
  readonly file: string;
  readonly version: number;
  readonly complete: boolean;
  readonly missing: readonly MissingLine[];
}

export interface ContainerdCheck {
  /** Landfall's. */
  readonly root: string;
  /** Of the machine, at that root. */
  readonly idMappedMounts: Capability;
}

interface WantedLine {
  readonly table: readonly string[];
  readonly key: string;
  readonly value: string | number | boolean;
  readonly why: string;
  /** Where other values do as well. */
  readonly fits?: (value: unknown) => boolean;
}

const SOCKET = '/run/landfall/snapshotter.sock';
const NAME = 'landfall';
const PROXY = ['proxy_plugins', NAME];
const EXPORTS = [...PROXY, 'exports'];
/** Up to version 2, which containerd 2 still reads. */
const CRI = ['plugins', 'io.containerd.grpc.v1.cri', 'containerd'];
const IMAGES = ['plugins', 'io.containerd.cri.v1.images'];
const UNPACK = ['plugins', 'io.containerd.transfer.v1.local', 'unpack_config'] as const;
const CRI_PLUGINS: readonly string[] = [
  'cri',
  'io.containerd.grpc.v1.cri',
  'io.containerd.cri.v1.images',
  'io.containerd.cri.v1.runtime',
];
/** That owners are mapped to those of a user namespace (containerd: client/snapshotter_opts_unix.go). */
const REMAP_IDS = 'remap-ids';
/**
 * A snapshot gets its parent when it is committed. containerd then asks for each layer without its parents,
 * and takes no layer that has some, as landfall's have.
 */
const REBASE = 'rebase';
const UNTOLD = 'containerd does not tell landfall which image a layer is of, and downloads it itself';

/**
 * What the configuration of a containerd lacks for landfall to be the snapshotter of its pods.
 *
 * @param file its absolute path
 * @throws LandfallError INVALID_CONFIG (a file cannot be read, or is no TOML)
 */
export async function checkContainerd(
  file: string,
  { root, idMappedMounts }: ContainerdCheck,
): Promise<ContainerdReport> {
  const config = await ContainerdConfig.read(file);
  const found = [
    ...missingOf(linesFor(config, root), config),
    ...wrongCapabilities(config, idMappedMounts),
    ...(pullsByTransfer(config) ? missingUnpacking(config) : []),
    ...disabledPlugins(config),
  ];
  // A table has one header in a file.
  const tables = [...new Set(found.map(({ table }) => table))];
  const missing = found.toSorted((a, b) => tables.indexOf(a.table) - tables.indexOf(b.table));
  return { file, version: config.version, complete: missing.length === 0, missing };
}

function linesFor(config: ContainerdConfig, root: string): readonly WantedLine[] {
  const snapshotter = {
    key: 'snapshotter',
    value: NAME,
    why: 'the layers of pods are another snapshotter’s',
  };
  const annotations = { key: 'disable_snapshot_annotations', value: false, why: UNTOLD };
  const proxy: WantedLine[] = [
    { table: PROXY, key: 'type', value: 'snapshot', why: 'containerd does not know landfall' },
    {
      ...{ table: PROXY, key: 'address', value: SOCKET },
      why: 'it is where `landfall daemon --snapshotter` listens, a path',
      fits: (value) => typeof value === 'string' && value.startsWith('/'),
    },
    { table: EXPORTS, key: 'root', value: root, why: 'the kubelet measures the wrong file system' },
  ];
  if (config.version < 3) {
    const version = { table: [], key: 'version', value: 2, why: 'version 1 is not read any more' };
    return [
      ...(config.version < 2 ? [version] : []),
      ...proxy,
      { table: CRI, ...snapshotter },
      { table: CRI, ...annotations },
    ];
  }
  return [
    ...proxy,
    pullsByTransfer(config)
      ? { table: EXPORTS, key: 'enable_remote_snapshot_annotations', value: 'true', why: UNTOLD }
      : { table: IMAGES, ...annotations },
    { table: IMAGES, ...snapshotter },
  ];
}

/**
 * Since 2.1 images of pods are pulled by the transfer service, unless something is set that only the older
 * way knows.
 */
function pullsByTransfer(config: ContainerdConfig): boolean {
  if (config.version < 3) return false;
  const [plugins = '', images = ''] = IMAGES;
  const local = config.at(plugins, images, 'use_local_image_pull')?.value === true;
  return !local && config.at(plugins, images, 'disable_snapshot_annotations')?.value !== false;
}

function missingOf(lines: readonly WantedLine[], config: ContainerdConfig): MissingLine[] {
  return lines.flatMap(({ table, key, value, why, fits = (found) => found === value }) => {
    const [first, ...rest] = [...table, key];
    const found = config.at(first, ...rest);
    if (found !== undefined && fits(found.value)) return [];
    const instead = found && { line: lineOf(key, found.value), place: found.place };
    return [{ table: headerOf(table), line: lineOf(key, value), why, instead }];
  });
}

/**
 * Capabilities of landfall that containerd's configuration lacks, and those that it lists and landfall has
 * not.
 */
function wrongCapabilities(config: ContainerdConfig, idMappedMounts: Capability): MissingLine[] {
  const found = config.at('proxy_plugins', NAME, 'capabilities');
  const reported: readonly unknown[] = Array.isArray(found?.value) ? found.value : [];
  const reasons: string[] = [];
  let right = reported;
  if (reported.includes(REBASE)) {
    reasons.push('with "rebase", containerd downloads layers that landfall has');
    right = right.filter((capability) => capability !== REBASE);
  }
  const { available, detail } = idMappedMounts;
  // Up to version 2 it may be for containerd 1.7, which cannot mount such snapshots.
  if (config.version >= 3 && available !== reported.includes(REMAP_IDS)) {
    reasons.push(
      available
        ? 'containerd copies an image for containers of a user namespace'
        : `containers of user namespaces do not start: id-mapped mounts: ${detail}`,
    );
    right = available ? [...right, REMAP_IDS] : right.filter((capability) => capability !== REMAP_IDS);
  }
  if (reasons.length === 0) return [];
  const instead = found && { line: lineOf('capabilities', reported), place: found.place };
  return [{ table: headerOf(PROXY), line: lineOf('capabilities', right), why: reasons.join('; '), instead }];
}

/**
 * The transfer service unpacks for the snapshotters that its configuration names, and for overlayfs only
 * where it names none.
 */
function missingUnpacking(config: ContainerdConfig): MissingLine[] {
  const found = config.at(...UNPACK)?.value;
  const entries = Array.isArray(found) ? found.filter(isPlainObject) : [];
  if (entries.some((entry) => entry['snapshotter'] === NAME)) return [];
  const platform = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;
  const table = `[[${nameOf(UNPACK)}]]`;
  const why = 'images are not unpacked for landfall: `no unpack platforms defined`';
  const others = entries.length === 0 ? ['overlayfs'] : [];
  return [NAME, ...others].flatMap((snapshotter) =>
    [lineOf('platform', platform), lineOf('snapshotter', snapshotter)].map((line) => ({
      table,
      line,
      why: snapshotter === NAME ? why : 'once one is named, images are unpacked for no other',
    })),
  );
}

/** As Docker's packages of containerd come, it serves no kubelet. */
function disabledPlugins(config: ContainerdConfig): MissingLine[] {
  const found = config.at('disabled_plugins');
  if (found === undefined || !Array.isArray(found.value)) return [];
  const disabled: readonly unknown[] = found.value;
  const others = disabled.filter((name) => typeof name !== 'string' || !CRI_PLUGINS.includes(name));
  if (others.length === disabled.length) return [];
  const why = 'containerd serves no kubelet';
  const instead = { line: lineOf('disabled_plugins', disabled), place: found.place };
  return [{ table: '', line: lineOf('disabled_plugins', others), why, instead }];
}

/** TOML's strings, numbers and lists are written as JSON's. */
function lineOf(key: string, value: unknown): string {
  return `${key} = ${JSON.stringify(value)}`;
}

function headerOf(table: readonly string[]): string {
  return table.length === 0 ? '' : `[${nameOf(table)}]`;
}

function nameOf(table: readonly string[]): string {
  return table.map((part) => (/^[\w-]+$/.test(part) ? part : JSON.stringify(part))).join('.');
}

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

/**
 * containerd's configuration, of a file and of those that it imports (containerd:
 * docs/man/containerd-config.toml.5.md).
 */
class ContainerdConfig {
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

  /**
   * Of plugins it is the last file alone that says anything of one, as far as containerd replaces instead of
   * merging.
   */
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
