import { resolve } from 'node:path';

import { quoted } from '../../spec/quoted.js';
import type { CertificatePaths, KeyPairPaths } from './certificates.js';
import { parseGoDuration } from './go-duration.js';
import { parseHostAddress } from './host-base.js';
import { ALL_CAPABILITIES, type HostCapability, type HostConfig } from './host-config.js';
import { type LandfallFields, readLandfallFields } from './landfall-fields.js';
import type { TomlTable } from './toml-table.js';

/** What a hosts.toml says of one host; the files that it names are not yet read. */
export interface HostEntry extends LandfallFields, CertificatePaths {
  /** Undefined for the registry's own address. */
  readonly base: URL | undefined;
  readonly mayBePlain: boolean;
  readonly capabilities: ReadonlySet<HostCapability>;
  readonly insecure: boolean;
  readonly dialTimeoutMs: number | undefined;
  readonly headers: HostConfig['headers'];
  /** Where it was read, for what is found wrong later. */
  readonly table: TomlTable;
}

export interface HostEntryOptions {
  /** What names the host, for messages: its own key, or `server` of the table. */
  readonly named: { readonly table: TomlTable; readonly key: string };
  /** Paths are relative to it. */
  readonly directory: string;
  readonly onWarning: (text: string) => void;
}

/**
 * Reads the fields of one host, as containerd's docs/hosts.md has them, and what lies in its table `landfall`.
 *
 * @param address undefined for the registry itself
 * @throws {LandfallError} INVALID_CONFIG
 */
export function readHostEntry(
  table: TomlTable,
  address: string | undefined,
  options: HostEntryOptions,
): HostEntry {
  const { directory, named, onWarning } = options;
  const asPath = (path: string): string => resolve(directory, path);
  const overridePath = table.boolean('override_path') ?? false;
  const skipVerify = table.boolean('skip_verify');
  const ca = table.oneOrMore('ca');
  const client = readClient(table, asPath);
  const where =
    address === undefined
      ? undefined
      : parseHostAddress(address, {
          overridePath,
          hasTls: skipVerify !== undefined || ca !== undefined || client !== undefined,
          fault: (what) => named.table.fault(named.key, what),
          onWarning: (what) => {
            onWarning(named.table.remark(named.key, what));
          },
        });
  return {
    base: where?.base,
    mayBePlain: where?.mayBePlain ?? false,
    capabilities: readCapabilities(table),
    ca: (ca ?? []).map(asPath),
    client: client ?? [],
    insecure: skipVerify ?? false,
    dialTimeoutMs: readDialTimeout(table),
    headers: readHeaders(table.table('header'), onWarning),
    ...readLandfallFields(table.table('landfall'), asPath, onWarning),
    table,
  };
}

function readCapabilities(table: TomlTable): ReadonlySet<HostCapability> {
  const names = table.strings('capabilities') ?? [];
  if (names.length === 0) return ALL_CAPABILITIES;
  const found = new Set<HostCapability>();
  for (const name of names) {
    const lower = name.toLowerCase();
    const capability = [...ALL_CAPABILITIES].find((known) => known === lower);
    if (capability !== undefined) found.add(capability);
    // Lists of referrers are asked for where images are.
    else if (lower !== 'referrers') {
      throw table.fault('capabilities', `has ${quoted(name)}, which is no capability`, {
        hint: 'Write some of pull, resolve, push and referrers.',
      });
    }
  }
  return found;
}

function readClient(table: TomlTable, asPath: (path: string) => string): KeyPairPaths[] | undefined {
  const value = table.get('client');
  if (value === undefined) return undefined;
  const pairs: readonly unknown[] = Array.isArray(value) ? value : [value];
  return pairs.map((pair) => {
    const paths: readonly unknown[] = Array.isArray(pair) ? pair : [pair, ''];
    const [cert, key] = paths;
    if (paths.length !== 2 || typeof cert !== 'string' || typeof key !== 'string' || cert === '') {
      throw table.fault('client', 'is not a path, a list of paths, or a list of pairs of paths');
    }
    // Without a key's path, the key lies in the certificate's file.
    return { cert: asPath(cert), key: asPath(key === '' ? cert : key) };
  });
}

function readDialTimeout(table: TomlTable): number | undefined {
  const text = table.string('dial_timeout') ?? '';
  if (text === '') return undefined;
  const duration = parseGoDuration(text);
  if (duration === undefined || duration < 0) {
    throw table.fault('dial_timeout', 'is not a duration', { hint: 'Write it as 500ms, 3s or 1m30s.' });
  }
  return duration === 0 ? undefined : Math.max(1, Math.round(duration));
}

/** What belongs to the exchange rather than to the host; Go's client passes over them too, or sets its own. */
const NOT_THE_HOSTS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function readHeaders(table: TomlTable | undefined, onWarning: (text: string) => void): HostConfig['headers'] {
  if (table === undefined) return {};
  const headers: Record<string, string> = {};
  for (const key of table.keys()) {
    const value = table.oneOrMore(key)?.join(', ') ?? '';
    // RFC 9110, section 5. What lies outside of Latin-1 cannot be sent.
    if (!/^[!#$%&'*+.^`|~\w-]+$/.test(key)) throw table.fault(key, 'is not the name of a header');
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw table.fault(key, 'has characters that a header cannot have');
    }
    const name = key.toLowerCase();
    if (NOT_THE_HOSTS.has(name)) onWarning(table.remark(key, 'cannot be set for a host; it is ignored'));
    else headers[name] = value;
  }
  return headers;
}
