import { readCertificates } from './certificates.js';
import { defaultCredentials } from '../auth/docker-config.js';
import type { FileTrace } from './file-trace.js';
import { defaultHost, type HostConfig, isAtRegistry } from './host-config.js';
import type { HostEntry } from './host-entry.js';
import type { LandfallFields } from './landfall-fields.js';

/**
 * Makes a host of what a hosts.toml says of it: reads the certificates that it names.
 *
 * @param o `why` is not told of the registry's own address, which needs no reason
 * @throws {LandfallError} INVALID_CONFIG
 */
export async function assembleHost(
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
