import { defaultCredentials } from './auth/auth-file.js';
import { hostsFromDirectories } from './hosts/hosts-directory.js';
import { RegistryClient, type RegistryClientOptions } from './registry-client.js';

/**
 * Where mirrors and certificates of registries are configured on a machine; the first that knows a registry
 * counts.
 */
const HOSTS_DIRECTORIES: readonly string[] = ['/etc/landfall/certs.d', '/etc/containerd/certs.d'];

/**
 * A client for registries as this machine is set up to reach them, where {@link RegistryClient} by itself
 * knows nothing of the machine. What is given here counts in place of:
 *
 * - `credentials`: the logins that docker, podman and `landfall login` have kept. They are looked for where
 *   `$REGISTRY_AUTH_FILE`, else `$DOCKER_CONFIG`, `$XDG_RUNTIME_DIR`, `$XDG_CONFIG_HOME` and `$HOME` say; the
 *   registry alone is shown them;
 * - `hosts`: mirrors and certificates in `/etc/landfall/certs.d` and `/etc/containerd/certs.d` (containerd:
 *   docs/hosts.md);
 * - `env`: `process.env`, which names proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) and
 *   authorities of certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
 *
 * Nothing is read before a registry is asked. Whoever opens a client closes it: `await using registry =
 * openRegistry()`.
 *
 * @returns a client whose connections, tokens and knowledge of hosts all that it is given to share
 */
export function openRegistry(options: RegistryClientOptions = {}): RegistryClient {
  return new RegistryClient(systemOptions(options));
}

/** The options of {@link openRegistry} with what the machine is set up for. */
export function systemOptions(options: RegistryClientOptions = {}): RegistryClientOptions {
  const { env = process.env, credentials = defaultCredentials({ env }), onWarning } = options;
  const { hosts = hostsFromDirectories(HOSTS_DIRECTORIES, onWarning === undefined ? {} : { onWarning }) } =
    options;
  return { ...options, env, credentials, hosts };
}

/** Uses the client that was given, or one of its own that it closes. */
export async function withRegistry<T>(
  given: RegistryClient | undefined,
  use: (registry: RegistryClient) => Promise<T>,
): Promise<T> {
  if (given !== undefined) return await use(given);
  await using registry = openRegistry();
  return await use(registry);
}
