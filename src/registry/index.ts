// http -> auth -> hosts -> lists -> push -> fetcher, resolver -> remote-repository -> registry-client ->
// open-registry
export {
  type AuthConfig,
  type AuthFileOptions,
  authFilePlaces,
  credentialsFromAuthConfig,
  defaultCredentials,
  type DefaultCredentialsOptions,
} from './auth/auth-file.js';
export { ByteRateLimit } from './http/byte-rate-limit.js';
export { type CheckedCredentials, RegistryClient, type RegistryClientOptions } from './registry-client.js';
export {
  type CredentialStoreOptions,
  eraseCredentials,
  type Erased,
  type KeptAt,
  type LoginTarget,
  parseLoginTarget,
  storeCredentials,
} from './auth/credential-store.js';
export type { PartBody } from './blob-body.js';
export type { Credentials, CredentialsProvider } from './auth/credentials.js';
export { connectedHosts, type ConnectedHostsOptions } from './hosts/connected-hosts.js';
export type { FetchedPart, Fetcher, FetchOptions } from './fetcher.js';
export * from './hosts/host-config.js';
export type { FailoverOptions } from './hosts/host-health.js';
export { hostsFromDirectories, type HostsDirectoryOptions } from './hosts/hosts-directory.js';
export type { Pusher, PushOptions } from './push/pusher.js';
export type { OpenContent } from './push/verified-source.js';
export { referrersTag, type ReferrersOptions } from './lists/referrers.js';
export { openRegistry, systemOptions, withRegistry } from './open-registry.js';
export { RemoteRepository } from './remote-repository.js';
export type { ConnectionOptions } from './http/http.js';
export { isMisdescribed, type Resolver } from './resolver.js';
export type { RetryOptions } from './http/retry.js';
export type { ListOptions } from './lists/tag-list.js';
export type { RequestEvent, Timeouts, TransportOptions } from './http/transport.js';
