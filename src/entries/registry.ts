/**
 * The remote side by itself: registries, their hosts and mirrors, and credentials for them.
 *
 * @module landfall/registry
 */
export { openRegistry } from '../library/open-registry.js';
export {
  type AuthFileOptions,
  ByteRateLimit,
  type CheckedCredentials,
  type Credentials,
  type ConnectionOptions,
  type CredentialsProvider,
  defaultCredentials,
  type DefaultCredentialsOptions,
  type FailoverOptions,
  type FetchedPart,
  type Fetcher,
  type FetchOptions,
  type HostCapability,
  type HostConfig,
  hostsFromDirectories,
  type HostsDirectoryOptions,
  type HostsProvider,
  type ListOptions,
  type OpenContent,
  type PartBody,
  type Pusher,
  type PushOptions,
  type ReferrersOptions,
  RegistryClient,
  type RegistryClientOptions,
  type RemoteRepository,
  type RequestEvent,
  type Resolver,
  type RetryOptions,
  type RewriteRule,
  type Timeouts,
  type TransportOptions,
} from '../registry/index.js';
