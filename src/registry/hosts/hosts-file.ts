import { dirname, posix, resolve } from 'node:path';
import { parseGoDuration } from '../../formats/go-duration.js';
import { parseToml, type TomlTable } from '../../formats/toml-table.js';
import { quoted } from '../../spec/index.js';
import type { Credentials } from '../auth/credentials.js';
import {
  ALL_CAPABILITIES,
  type HostCapability,
  type HostConfig,
  isLoopback,
  type RewriteRule,
} from './host-config.js';

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
 * @param options `onWarning` is called with what is odd but does no harm, such as an unknown key
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

/** A client's certificate and its key: the same path twice where one file holds both. */
export interface KeyPairPaths {
  readonly cert: string;
  readonly key: string;
}

/** Absolute paths of PEM files. */
export interface CertificatePaths {
  readonly ca: readonly string[];
  readonly client: readonly KeyPairPaths[];
}

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
 * Reads the fields of one host, as containerd's docs/hosts.md has them, and what lies in its table
 * `landfall`.
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

/**
 * What belongs to the exchange rather than to the host; Go's client passes over them too, or sets its own.
 */
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

export interface HostAddressOptions {
  /** The path is the root of the API as it stands, without `/v2` after it. */
  readonly overridePath: boolean;
  /** Whether the host has settings for TLS. */
  readonly hasTls: boolean;
  readonly fault: (what: string) => Error;
  readonly onWarning: (what: string) => void;
}

/**
 * The root of the API at a host as hosts.toml names it: `mirror.lan`, `https://mirror.lan:5000/team`. Without
 * a scheme it is https, and on loopback perhaps http. Where settings for TLS stand beside http, https is
 * tried first, as in containerd.
 */
export function parseHostAddress(
  address: string,
  { overridePath, hasTls, fault, onWarning }: HostAddressOptions,
): { base: URL; mayBePlain: boolean } {
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\//i.exec(address) ?? [];
  if (scheme !== undefined && !/^https?$/i.test(scheme)) {
    throw fault(`has the scheme ${scheme}, and landfall speaks only http and https to a registry`);
  }
  const text = scheme === undefined ? `https://${address}` : address;
  if (!/^https?:\/\/[^/\\?#\s]/i.test(text) || !URL.canParse(text))
    throw fault('is not the address of a host');
  const given = new URL(text);
  if (given.username !== '' || given.password !== '') {
    onWarning('has a user, which is ignored; give credentials in its table landfall');
  }
  if (given.search !== '' || given.hash !== '') onWarning('has a query, which is ignored');
  const base = new URL(given.origin);
  // The registry called docker.io answers at another address.
  if (base.host === 'docker.io') base.host = 'registry-1.docker.io';
  base.pathname = rootOf(given.pathname, overridePath);
  const isGuess = scheme === undefined && isLoopback(base.host);
  const isDoubtful = base.protocol === 'http:' && base.port !== '' && hasTls;
  if (isDoubtful) base.protocol = 'https:';
  return { base, mayBePlain: isGuess || isDoubtful };
}

function rootOf(path: string, overridePath: boolean): string {
  const clean = posix.normalize(path).replace(/\/$/, '');
  return overridePath || clean.endsWith('/v2') ? clean : `${clean}/v2`;
}

/** What landfall adds to a host's fields. */
export interface LandfallFields {
  /** `file` is the absolute path of a credentials file in docker's form. */
  readonly credentials: 'own' | 'upstream' | 'none' | Credentials | { readonly file: string };
  readonly rewrite: readonly RewriteRule[];
  readonly maxConnections: number | undefined;
  readonly requestsPerSecond: number | undefined;
}

/**
 * Reads a host's table `landfall`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function readLandfallFields(
  table: TomlTable | undefined,
  asPath: (path: string) => string,
  onWarning: (text: string) => void,
): LandfallFields {
  const fields: LandfallFields = {
    credentials: table === undefined ? 'own' : readCredentials(table, asPath, onWarning),
    rewrite: readRewrite(table?.table('rewrite')),
    maxConnections: table?.positive('max_connections', true),
    requestsPerSecond: table?.positive('requests_per_second', false),
  };
  for (const text of table?.unknownKeys() ?? []) onWarning(text);
  return fields;
}

const CREDENTIALS_HINT =
  'Write "own", "upstream", "none", or a table with username and password, identitytoken, registrytoken or file.';

function readCredentials(
  table: TomlTable,
  asPath: (path: string) => string,
  onWarning: (text: string) => void,
): LandfallFields['credentials'] {
  const value = table.get('credentials');
  if (value === undefined) return 'own';
  if (value === 'own' || value === 'upstream' || value === 'none') return value;
  const given = typeof value === 'string' ? undefined : table.table('credentials');
  if (given === undefined) {
    throw table.fault('credentials', 'is none of "own", "upstream" and "none"', { hint: CREDENTIALS_HINT });
  }
  const [found, ...more] = credentialsOf(given, asPath);
  if (found === undefined || more.length > 0) {
    const what = found === undefined ? 'has neither a pair nor a token nor a file' : 'has more than one kind';
    throw table.fault('credentials', what, { hint: CREDENTIALS_HINT });
  }
  for (const text of given.unknownKeys()) onWarning(text);
  return found;
}

function credentialsOf(table: TomlTable, asPath: (path: string) => string): LandfallFields['credentials'][] {
  const username = nonEmpty(table, 'username');
  const password = nonEmpty(table, 'password');
  const identityToken = nonEmpty(table, 'identitytoken');
  const registryToken = nonEmpty(table, 'registrytoken');
  const file = nonEmpty(table, 'file');
  if ((username === undefined) !== (password === undefined)) {
    const missing = username === undefined ? 'username' : 'password';
    throw table.fault(missing, 'is missing', { hint: CREDENTIALS_HINT });
  }
  return [
    ...(username === undefined || password === undefined ? [] : [{ username, password }]),
    ...(identityToken === undefined ? [] : [{ identityToken }]),
    ...(registryToken === undefined ? [] : [{ registryToken }]),
    ...(file === undefined ? [] : [{ file: asPath(file) }]),
  ];
}

function nonEmpty(table: TomlTable, key: string): string | undefined {
  const text = table.string(key);
  if (text === '') throw table.fault(key, 'is empty');
  return text;
}

function readRewrite(rules: TomlTable | undefined): readonly RewriteRule[] {
  return (rules?.keys() ?? []).flatMap((expression) => {
    const replacement = rules?.string(expression);
    if (rules === undefined || replacement === undefined) return [];
    try {
      return [parseRewriteRule(expression, replacement)];
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause;
      throw rules.fault(expression, `is no rule for rewriting: ${cause.message}`, {
        cause,
        hint: 'Write a regular expression of JavaScript, and a replacement with $1 for its first group.',
      });
    }
  });
}

/** What Go's expressions can and JavaScript's would take for something else. */
const ONLY_IN_GO = /\\[AzQECpP]|\[\[:|\(\?[imsU-]+[:)]/;

/**
 * A rule as k3s's registries.yaml writes it: a regular expression, and a replacement in which `$1`, `${1}`
 * and `${name}` stand for what its groups matched and `$$` for a dollar sign.
 *
 * @throws {SyntaxError} what is wrong, in words
 */
function parseRewriteRule(expression: string, template: string): RewriteRule {
  if (ONLY_IN_GO.test(expression)) throw new SyntaxError('uses what only the expressions of Go have');
  const source = expression.replaceAll('(?P<', '(?<');
  const pattern = new RegExp(source, 'g');
  // An alternative that matches the empty text tells what groups there are.
  const groups = new RegExp(`${source}|`).exec('');
  const names = new Set(Object.keys(groups?.groups ?? {}));
  const replacement = template.replace(
    /\$(?:\$|\{(\w+)\}|(\w+))?/g,
    (dollar: string, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare;
      if (name === undefined) return '$$';
      if (names.has(name)) return `$<${name}>`;
      const number = /^\d{1,2}$/.test(name) ? Number(name) : Infinity;
      if (number === 0) return '$&';
      if (number >= (groups?.length ?? 0)) {
        throw new SyntaxError(`has no group for ${dollar}; write \${1}a where a letter follows`);
      }
      return `$${String(number).padStart(2, '0')}`;
    },
  );
  return { pattern, replacement };
}
