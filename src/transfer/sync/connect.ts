import { readFile } from 'node:fs/promises';
import { LandfallError, systemCode } from '../../errors.js';
import {
  ByteRateLimit,
  connectedHosts,
  type CredentialsProvider,
  defaultCredentials,
  type RegistryClientOptions,
} from '../../registry/index.js';
import type { Connection, PasswordFrom } from './mirror-file.js';

export interface ConnectOptions {
  /** What holds where the file does not say otherwise. */
  readonly base: RegistryClientOptions;
  /** Where passwords are looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * How a registry is spoken to, by the file and by what holds for all. Credentials of the file are shown to that registry alone.
 *
 * @throws {LandfallError} INVALID_CONFIG where a password is not where the file says
 */
export async function connect(
  host: string,
  connection: Connection,
  { base, env }: ConnectOptions,
): Promise<RegistryClientOptions> {
  const { rate, plainHttp, connections } = connection;
  return {
    ...base,
    hosts: connectedHosts(base.hosts, {
      ...connection,
      ca: connection.ca === undefined ? [] : [connection.ca],
      maxConnections: connections,
    }),
    ...(plainHttp === undefined ? {} : { plainHttp }),
    ...(rate === undefined ? {} : { rateLimit: new ByteRateLimit(rate) }),
    ...(await credentialsOf(host, connection, env)),
  };
}

async function credentialsOf(
  host: string,
  { credentials, authFile }: Connection,
  env: ConnectOptions['env'],
): Promise<{ credentials?: CredentialsProvider }> {
  if (authFile !== undefined) return { credentials: defaultCredentials({ authFile, env }) };
  if (credentials === undefined) return {};
  const { username } = credentials;
  const password = await readPassword(credentials.password, env);
  return {
    credentials: (registry) => Promise.resolve(registry === host ? { username, password } : undefined),
  };
}

async function readPassword(from: PasswordFrom, env: ConnectOptions['env']): Promise<string> {
  if ('literal' in from) return from.literal;
  if ('env' in from) {
    const password = env[from.env];
    if (password !== undefined && password !== '') return password;
    throw new LandfallError('INVALID_CONFIG', `the variable ${from.env} is not set`, {
      hint: 'Set it to the password that the file means, and export it.',
    });
  }
  let text: string;
  try {
    text = await readFile(from.file, 'utf8');
  } catch (cause) {
    const why = systemCode(cause) ?? 'unknown error';
    throw new LandfallError('INVALID_CONFIG', `${from.file} cannot be read (${why})`, {
      cause,
      hint: 'It is to hold the password alone.',
      details: { path: from.file },
    });
  }
  const password = text.replace(/\r?\n$/, '');
  if (password !== '') return password;
  throw new LandfallError('INVALID_CONFIG', `${from.file} is empty`, {
    hint: 'It is to hold the password alone.',
    details: { path: from.file },
  });
}
