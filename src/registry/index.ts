export { type AuthConfig, type AuthFileOptions, credentialsFromAuthConfig } from './auth/auth-file.js';
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
export { defaultCredentials, type DefaultCredentialsOptions } from './auth/docker-config.js';
export { connectedHosts, type ConnectedHostsOptions } from './hosts/connected-hosts.js';
export type { FetchedPart, Fetcher, FetchOptions } from './fetcher.js';
export type { HostCapability, HostConfig, HostsProvider, RewriteRule } from './hosts/host-config.js';
export type { FailoverOptions } from './hosts/host-health.js';
export { hostsFromDirectories, type HostsDirectoryOptions } from './hosts/hosts-directory.js';
export type { Pusher, PushOptions } from './push/pusher.js';
export type { OpenContent } from './push/verified-source.js';
export type { ReferrersOptions } from './lists/referrers.js';
export { referrersTag } from './lists/referrers.js';
export { RemoteRepository } from './remote-repository.js';
export { isMisdescribed } from './misdescribed.js';
export type { Resolver } from './resolver.js';
export type { ConnectionOptions } from './http/http.js';
export type { RetryOptions } from './http/retry.js';
export type { ListOptions } from './lists/tag-list.js';
export type { RequestEvent, Timeouts, TransportOptions } from './http/transport.js';
