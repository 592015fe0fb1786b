import { isUtf8 } from 'node:buffer';
import { createHash, X509Certificate } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import tls from 'node:tls';
import { SingleFlight } from '../../concurrency/index.js';
import { LandfallError, systemCode } from '../../errors.js';
import { defaultCredentials } from '../auth/auth-file.js';
import type { ConnectionOptions } from '../http/http.js';
import { defaultHost, type HostConfig, type HostsProvider, isAtRegistry } from './host-config.js';
import type { CertificatePaths, HostEntry, LandfallFields } from './hosts-file.js';
import { formatSize } from '../../spec/index.js';

/** How configured hosts are read. */
export interface HostsDirectoryOptions {
  /**
   * Called with what is odd in a file but does no harm, with file, line and key; once for each state of the
   * file.
   */
  readonly onWarning?: (text: string) => void;
  /** Milliseconds, of a clock that never goes back. Default `performance.now`. */
  readonly now?: () => number;
}

const CHECK_INTERVAL_MS = 1_000;

/**
 * Hosts as containerd's certs.d directories configure them (containerd: docs/hosts.md): in the first
 * directory that has an entry for the registry (`quay.io`, `reg.lan_5000_`, `reg.lan:5000`) or else
 * `_default`, from its hosts.toml, or from docker's certificate files where there is no hosts.toml. Where
 * none has an entry: the registry itself.
 *
 * Files are looked at again at most once a second, and read again when one changed, came or went.
 *
 * Errors of the provider: INVALID_CONFIG for what cannot be read or understood, at every call until it is
 * mended; INVALID_REFERENCE for a registry that is none.
 *
 * @param directories absolute paths, such as `/etc/containerd/certs.d`; they need not exist
 */
export function hostsFromDirectories(
  directories: readonly string[],
  options: HostsDirectoryOptions = {},
): HostsProvider {
  const registries = new Map<string, WatchedHosts>();
  return async (registry) => {
    let watched = registries.get(registry);
    if (watched === undefined) {
      defaultHost(registry);
      watched = new WatchedHosts(directories, registry, options);
      registries.set(registry, watched);
    }
    return await watched.current();
  };
}

interface Loaded {
  readonly hosts: readonly HostConfig[];
  readonly trace: FileTrace;
  readonly fingerprint: string;
}

/** The hosts of one registry, and the files that they are from. */
class WatchedHosts {
  readonly #directories: readonly string[];
  readonly #registry: string;
  readonly #onWarning: (text: string) => void;
  readonly #now: () => number;
  #loaded: Loaded | undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  readonly #checks = new SingleFlight<'files', readonly HostConfig[]>();

  constructor(directories: readonly string[], registry: string, options: HostsDirectoryOptions) {
    this.#directories = directories;
    this.#registry = registry;
    this.#onWarning = options.onWarning ?? (() => undefined);
    this.#now = options.now ?? (() => performance.now());
  }

  async current(): Promise<readonly HostConfig[]> {
    if (this.#loaded !== undefined && this.#now() - this.#checkedAt < CHECK_INTERVAL_MS)
      return this.#loaded.hosts;
    return await this.#checks.run('files', () => this.#refresh());
  }

  async #refresh(): Promise<readonly HostConfig[]> {
    const startedAt = this.#now();
    if (this.#loaded === undefined || !(await this.#loaded.trace.isUnchanged())) {
      const warnings: string[] = [];
      const trace = new FileTrace();
      const hosts = await findHosts(this.#directories, this.#registry, trace, (text) => warnings.push(text));
      const fingerprint = trace.fingerprint();
      // A file that was touched, or written anew with what it had, is no other configuration.
      const same = this.#loaded?.fingerprint === fingerprint ? this.#loaded.hosts : undefined;
      if (same === undefined) for (const text of warnings) this.#onWarning(text);
      this.#loaded = { hosts: same ?? hosts, trace, fingerprint };
    }
    // Not after a failure: the next call is to fail with it too.
    this.#checkedAt = startedAt;
    return this.#loaded.hosts;
  }
}

async function findHosts(
  directories: readonly string[],
  registry: string,
  trace: FileTrace,
  onWarning: (text: string) => void,
): Promise<readonly HostConfig[]> {
  for (const directory of directories) {
    for (const name of entryNames(registry)) {
      const entry = join(directory, name);
      if (await trace.hasDirectory(entry)) return await readEntry(registry, entry, trace, onWarning);
    }
  }
  return [defaultHost(registry)];
}

/** In the order in which they are looked for. */
function entryNames(registry: string): readonly string[] {
  const [, host, port] = /^(.+):(\d+)$/.exec(registry) ?? [];
  return [...(host === undefined || port === undefined ? [] : [`${host}_${port}_`]), registry, '_default'];
}

async function readEntry(
  registry: string,
  directory: string,
  trace: FileTrace,
  onWarning: (text: string) => void,
): Promise<readonly HostConfig[]> {
  const file = join(directory, 'hosts.toml');
  const content = await trace.read(file);
  if (content === undefined || content.length === 0) return [await hostWithCerts(registry, directory, trace)];
  if (!isUtf8(content)) {
    throw new LandfallError('INVALID_CONFIG', `${file} is not text in UTF-8`, {
      hint: 'Mend the file, or put the last one back.',
      details: { file },
    });
  }
  // Loaded on first use: most machines have no such file.
  const { parseHostsFile } = await import('./hosts-file.js');
  const { hosts, server } = parseHostsFile(content.toString(), file, { onWarning });
  // One after the other, so that the trace is the same each time.
  const assembled: HostConfig[] = [];
  for (const [at, host] of hosts.entries()) {
    assembled.push(await assembleHost(registry, host, { why: `mirror ${at + 1} in ${file}`, trace }));
  }
  return [...assembled, await assembleHost(registry, server, { why: `server in ${file}`, trace })];
}

async function hostWithCerts(registry: string, directory: string, trace: FileTrace): Promise<HostConfig> {
  const paths = dockerCerts(directory, await trace.list(directory));
  const certificates = await readCertificates(
    paths,
    trace,
    (_key, path, what, cause) =>
      new LandfallError('INVALID_CONFIG', `${path} ${what}`, {
        cause,
        hint: 'Mend the file, or take it away.',
        details: { file: path },
      }),
  );
  return { ...defaultHost(registry), connection: certificates };
}

/**
 * Makes a host of what a hosts.toml says of it: reads the certificates that it names.
 *
 * @param o `why` does not count for the registry's own address, which needs no reason
 * @throws {LandfallError} INVALID_CONFIG
 */
async function assembleHost(
  registry: string,
  entry: HostEntry,
  o: { readonly why: string; readonly trace: FileTrace },
): Promise<HostConfig> {
  const own = defaultHost(registry);
  const base = entry.base ?? own.base;
  const certificates = await readCertificates(entry, o.trace, (key, path, what, cause) =>
    entry.table.fault(key, `names ${path}, which ${what}`, { cause }),
  );
  const { dialTimeoutMs, maxConnections, requestsPerSecond } = entry;
  return {
    base,
    role: isAtRegistry(registry, base) ? 'upstream' : 'mirror',
    capabilities: entry.capabilities,
    connection: { ...certificates, insecure: entry.insecure || undefined, dialTimeoutMs },
    headers: entry.headers,
    credentials: credentialsAt(base, entry.credentials),
    rewrite: entry.rewrite,
    maxConnections,
    requestsPerSecond,
    mayBePlain: entry.mayBePlain || (entry.base === undefined ? own.mayBePlain : undefined),
    why: entry.base === undefined ? own.why : o.why,
  };
}

/**
 * A file is read when the host asks, as the other credentials' files are, so that what renews it need not
 * restart us.
 */
function credentialsAt(base: URL, given: LandfallFields['credentials']): HostConfig['credentials'] {
  if (typeof given === 'string' || !('file' in given)) return given;
  const find = defaultCredentials({ authFile: given.file });
  return (_registry, ...about) => find(base.host, ...about);
}

const MAX_FILE_BYTES = 1 << 20;
// Coarse clocks give two writes one time: what changed so shortly before it was read may have changed after
// it unseen.
const UNSETTLED_MS = 2_000;

const ABSENT = 'absent';
const UNSETTLED = 'unsettled';

/** Makes the error for a path, from what is wrong with it in words. */
export type FileFault = (path: string, what: string, cause?: unknown) => LandfallError;

interface Identity {
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly size: number;
  readonly isSettled: boolean;
  readonly text: string;
}

/**
 * Reads files and remembers all that was looked for, there or not, so that a later check sees any change. A
 * file that cannot be read is INVALID_CONFIG; an absent one is not.
 */
export class FileTrace {
  readonly #identities = new Map<string, string>();
  readonly #content = createHash('sha256');

  async hasDirectory(path: string): Promise<boolean> {
    const identity = await this.#look(path);
    if (identity === undefined) return false;
    if (!identity.isDirectory) throw unreadable(path, 'is not a directory');
    return true;
  }

  /** Names of the files in a directory; what is no file, nor a link, is left out. */
  async list(path: string): Promise<readonly string[]> {
    await this.#look(path);
    const entries = await withFault(path, unreadable, () => readdir(path, { withFileTypes: true }));
    const names = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
    this.#content.update(`${[...names].sort().join('/')}\0`);
    return names;
  }

  /** @param fault makes the error for a file that is there and cannot be read */
  async read(path: string, fault: FileFault = unreadable): Promise<Buffer | undefined> {
    const identity = await this.#look(path, fault);
    if (identity === undefined) return undefined;
    // A device or a pipe might never end.
    if (!identity.isFile) throw fault(path, 'is not a file');
    if (identity.size > MAX_FILE_BYTES) throw fault(path, `has more than ${formatSize(MAX_FILE_BYTES)}`);
    const content = await withFault(path, fault, () => readFile(path));
    this.#content.update(`${content.length}\0`).update(content);
    return content;
  }

  /** Stands for all that was read: equal where paths and contents are. Call it once, at the end. */
  fingerprint(): string {
    return this.#content.digest('hex');
  }

  /** Whether everything is as it was: modification time, size, inode. */
  async isUnchanged(): Promise<boolean> {
    const checks = [...this.#identities].map(async ([path, before]) => {
      try {
        return ((await identify(path))?.text ?? ABSENT) === before;
      } catch {
        return false;
      }
    });
    return (await Promise.all(checks)).every((same) => same);
  }

  async #look(path: string, fault: FileFault = unreadable): Promise<Identity | undefined> {
    const identity = await withFault(path, fault, () => identify(path));
    // Before it is read: a change in between is then seen at the next check.
    const settled = identity?.isSettled === false ? UNSETTLED : identity?.text;
    this.#identities.set(path, settled ?? ABSENT);
    this.#content.update(`${path}\0${identity === undefined ? ABSENT : 'there'}\0`);
    return identity;
  }
}

async function withFault<T>(path: string, fault: FileFault, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw fault(path, `cannot be read (${systemCode(cause) ?? 'unknown error'})`, cause);
  }
}

async function identify(path: string): Promise<Identity | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return {
      isDirectory: found.isDirectory(),
      isFile: found.isFile(),
      size: Number(found.size),
      isSettled: Math.abs(Date.now() - Number(found.mtimeMs)) > UNSETTLED_MS,
      text: `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}`,
    };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function unreadable(path: string, what: string, cause?: unknown): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', `${path} ${what}`, {
    hint: 'Make it readable, or take it away.',
    details: { file: path },
    cause,
  });
}

/** Makes the error for a file that was named as `ca` or `client`. */
export type CertificateFault = (
  key: 'ca' | 'client',
  path: string,
  what: string,
  cause?: unknown,
) => LandfallError;

/**
 * Reads certificates and keys, and sees that they can be used: a connection would not say which file is at
 * fault.
 */
export async function readCertificates(
  { ca, client }: CertificatePaths,
  trace: FileTrace,
  fault: CertificateFault,
): Promise<Pick<ConnectionOptions, 'ca' | 'client'>> {
  const read = async (key: 'ca' | 'client', path: string): Promise<Buffer> => {
    const content = await trace.read(path, (_path, what, cause) => fault(key, path, what, cause));
    if (content === undefined) throw fault(key, path, 'is not there');
    return content;
  };
  const authorities: string[] = [];
  for (const path of ca) {
    const found = certificatesIn(await read('ca', path));
    if (found.length === 0) throw fault('ca', path, 'holds no certificate in PEM');
    authorities.push(...found);
  }
  const pairs: { cert: Buffer; key: Buffer }[] = [];
  for (const paths of client) {
    const pair = { cert: await read('client', paths.cert), key: await read('client', paths.key) };
    const wrong = keyPairFault(pair.cert, pair.key);
    if (wrong !== undefined) throw fault('client', paths.cert, wrong.what, wrong.cause);
    pairs.push(pair);
  }
  return {
    ...(authorities.length === 0 ? {} : { ca: authorities }),
    ...(pairs.length === 0 ? {} : { client: pairs }),
  };
}

const BLOCK = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs;

/**
 * The certificates in a PEM file, one text each. What is none is passed over, as Go does; Node would stop
 * there.
 */
function certificatesIn(pem: Buffer): readonly string[] {
  return (pem.toString('latin1').match(BLOCK) ?? []).filter(isCertificate);
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).serialNumber !== '';
  } catch {
    return false;
  }
}

/** What is wrong with a client's certificate and key, in words; undefined when they belong together. */
function keyPairFault(cert: Buffer, key: Buffer): { what: string; cause: unknown } | undefined {
  if (certificatesIn(cert).length === 0) return { what: 'holds no certificate in PEM', cause: undefined };
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key.toString('latin1'))) {
    return { what: 'has no private key in PEM', cause: undefined };
  }
  try {
    tls.createSecureContext({ cert, key });
    return undefined;
  } catch (cause) {
    const code = systemCode(cause);
    if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH')
      return { what: 'has the key of another certificate', cause };
    return {
      what: `has a key that cannot be used (${code ?? 'unknown error'}); it must not be encrypted`,
      cause,
    };
  }
}

/**
 * Certificates as docker lays them into a registry's directory: `*.crt` are authorities that are trusted;
 * `*.cert` are shown to the registry, with the key from the `.key` of the same name, or from their own file
 * when there is none.
 *
 * @param names what lies in the directory, its directories left out
 */
export function dockerCerts(directory: string, names: readonly string[]): CertificatePaths {
  const sorted = [...names].sort();
  return {
    ca: sorted.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name)),
    client: sorted
      .filter((name) => name.endsWith('.cert'))
      .map((cert) => {
        const key = `${cert.slice(0, -'.cert'.length)}.key`;
        return { cert: join(directory, cert), key: join(directory, names.includes(key) ? key : cert) };
      }),
  };
}
