export type { Credentials, CredentialsProvider } from './credentials.js';
export { defaultCredentials, type DefaultCredentialsOptions } from './docker-config.js';
export type { Fetcher, FetchOptions } from './fetcher.js';
export { RegistryClient, type RegistryClientOptions, RemoteRepository } from './registry-client.js';
export type { Resolver } from './resolver.js';
export type { RetryOptions } from './retry.js';
export type { RequestEvent, Timeouts, TransportOptions } from './transport.js';
