import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { SingleFlight } from '../../concurrency/index.js';
import { LandfallError } from '../../errors.js';
import { defaultCredentials } from '../auth/docker-config.js';
import { dockerCerts, readCertificates } from './certificates.js';
import { FileTrace } from './file-trace.js';
import { defaultHost, type HostConfig, type HostsProvider, isAtRegistry } from './host-config.js';
import type { HostEntry } from './hosts-file.js';
import type { LandfallFields } from './landfall-fields.js';

/** Who is told of what is odd. */
export interface HostsDirectoryOptions {
  /** Called with what is odd in a file but does no harm, with file, line and key; once for each state of the file. */
  readonly onWarning?: (text: string) => void;
  /** Milliseconds, of a clock that never goes back. Default `performance.now`. */
  readonly now?: () => number;
}

const CHECK_INTERVAL_MS = 1_000;

/**
 * Hosts as containerd's certs.d directories configure them (containerd: docs/hosts.md): in the first directory that has
 * an entry for the registry (`quay.io`, `reg.lan_5000_`, `reg.lan:5000`) or else `_default`, from its hosts.toml, or from
 * docker's certificate files where there is no hosts.toml. Where none has an entry: the registry itself.
 *
 * Files are looked at again at most once a second, and read again when one changed, came or went.
 *
 * Errors of the provider: INVALID_CONFIG for what cannot be read or understood, at every call until it is mended;
 * INVALID_REFERENCE for a registry that is none.
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
    // Not after a failure: whoever asks next is to have it too.
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
 * @param o `why` is not told of the registry's own address, which needs no reason
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
    connection: {
      ...certificates,
      ...(entry.insecure ? { insecure: true } : {}),
      ...(dialTimeoutMs === undefined ? {} : { dialTimeoutMs }),
    },
    headers: entry.headers,
    credentials: credentialsAt(base, entry.credentials),
    rewrite: entry.rewrite,
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(requestsPerSecond === undefined ? {} : { requestsPerSecond }),
    ...(entry.mayBePlain || (entry.base === undefined && own.mayBePlain === true)
      ? { mayBePlain: true }
      : {}),
    why: entry.base === undefined ? own.why : o.why,
  };
}

/** A file is read when the host asks, as the other credentials' files are, so that what renews it need not restart us. */
function credentialsAt(base: URL, given: LandfallFields['credentials']): HostConfig['credentials'] {
  if (typeof given === 'string' || !('file' in given)) return given;
  const find = defaultCredentials({ authFile: given.file });
  return (_registry, ...about) => find(base.host, ...about);
}
