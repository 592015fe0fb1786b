import { dirname } from 'node:path';

import { type HostEntry, readHostEntry } from './host-entry.js';
import { parseToml, type TomlTable } from './toml-table.js';

export interface HostsFile {
  /** In the order of the file, which is the order in which they are asked. */
  readonly hosts: readonly HostEntry[];
  /** Asked last: `server` with the fields at the top of the file. */
  readonly server: HostEntry;
}

/**
 * Reads the text of a containerd hosts.toml (containerd: docs/hosts.md).
 *
 * @param file its absolute path: paths in it are relative to its directory
 * @param options `onWarning` is called with what is odd but does no harm, such as a key that nobody knows
 * @throws {LandfallError} INVALID_CONFIG, with file, line and key
 */
export function parseHostsFile(
  text: string,
  file: string,
  { onWarning = () => undefined }: { readonly onWarning?: (text: string) => void } = {},
): HostsFile {
  const root = parseToml(text, file);
  const directory = dirname(file);
  const table = root.table('host');
  const hosts = (table?.keys() ?? []).map((name) => hostNamed(name, table ?? root, { directory, onWarning }));
  const address = root.string('server') ?? '';
  const server = readHostEntry(root, address === '' ? undefined : address, {
    named: { table: root, key: 'server' },
    directory,
    onWarning,
  });
  for (const text of root.unknownKeys()) onWarning(text);
  return { hosts, server };
}

function hostNamed(
  name: string,
  hosts: TomlTable,
  options: { readonly directory: string; readonly onWarning: (text: string) => void },
): HostEntry {
  const table = hosts.table(name);
  if (table === undefined) throw hosts.fault(name, 'is not a table');
  const entry = readHostEntry(table, name, { ...options, named: { table: hosts, key: name } });
  for (const text of table.unknownKeys()) options.onWarning(text);
  return entry;
}
