import { readFile } from 'node:fs/promises';
import { systemCode } from '../../errors.js';
import {
  ByteRateLimit,
  type Credentials,
  type CredentialsProvider,
  defaultCredentials,
  hostsFromDirectories,
  RegistryClient,
  type RegistryClientOptions,
  type RequestEvent,
} from '../../registry/index.js';
import { parseReference } from '../../spec/index.js';
import { askTerminal, readPassword } from './ask-terminal.js';
import type { CommandContext } from '../output/command-context.js';
import { formatDuration, printable } from '../format/text.js';
import { version } from '../output/version.js';
import { invalidConfig } from '../config/settings.js';

export interface OpenRegistryOptions extends Pick<
  RegistryClientOptions,
  'onReceived' | 'onRequest' | 'failover' | 'userAgent' | 'retry' | 'foreignUrls'
> {
  /** Files that credentials are looked for in besides the usual ones, where they exist. */
  readonly authFiles?: readonly string[];
}

/**
 * The remote side as the options ask for it, for the registries of these references.
 *
 * @param o what the command itself asks for
 * @throws {LandfallError} INVALID_CONFIG (options that cannot hold together, a file that cannot be read)
 */
export async function openRegistry(
  context: CommandContext,
  references: readonly string[],
  o: OpenRegistryOptions = {},
): Promise<RegistryClient> {
  return new RegistryClient(await registryOptions(context, references, o));
}

/** The options of {@link openRegistry}, for commands that speak to several registries in different ways. */
export async function registryOptions(
  context: CommandContext,
  references: readonly string[],
  { authFiles, onRequest, ...o }: OpenRegistryOptions = {},
): Promise<RegistryClientOptions> {
  const { settings, env, log } = context;
  const { limitRate, maxRetryAfter } = settings;
  const warn = (text: string): void => {
    log.warn(text);
  };
  return {
    hosts: hostsFromDirectories(settings.hostsDirs, { onWarning: warn }),
    plainHttp: settings.plainHttp,
    insecure: settings.insecure,
    foreignUrls: settings.foreignUrls,
    ...(settings.ca === undefined ? {} : { ca: await readCa(settings.ca) }),
    ...(limitRate === undefined ? {} : { rateLimit: new ByteRateLimit(limitRate) }),
    ...(maxRetryAfter === undefined ? {} : { retry: { maxRetryAfterMs: maxRetryAfter * 1000 } }),
    credentials: await credentialsFor(context, references, authFiles),
    env,
    userAgent: `landfall/${version()}`,
    onWarning: warn,
    ...o,
    onRequest: (event) => {
      log.debug(requestLine(event));
      onRequest?.(event);
    },
  };
}

async function readCa(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw invalidConfig(`${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`, {
      hint: 'Give a PEM file with --ca.',
      cause,
    });
  }
}

/**
 * The credentials of this user for registries, by the options or the files that these name.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export async function credentialsFor(
  context: CommandContext,
  references: readonly string[],
  furtherFiles: readonly string[] = [],
): Promise<CredentialsProvider> {
  const { settings, env } = context;
  if (settings.creds === undefined)
    return defaultCredentials({ authFile: settings.authfile, furtherFiles, env, uid: context.uid });
  const registries = [...new Set(references.flatMap(registryOf))];
  if (registries.length > 1) {
    throw invalidConfig(`--creds is for one registry, not for ${registries.join(' and ')}`, {
      hint: 'Pull from one registry at a time, or use --authfile.',
    });
  }
  const credentials = await parseCredentials(settings.creds, context);
  return (registry) => Promise.resolve(registries.includes(registry) ? credentials : undefined);
}

/** A reference that is none fails by itself later, and asks no registry. */
function registryOf(reference: string): string[] {
  try {
    return [parseReference(reference).registry];
  } catch {
    return [];
  }
}

async function parseCredentials(text: string, context: CommandContext): Promise<Credentials> {
  const colon = text.indexOf(':');
  const username = colon < 0 ? text : text.slice(0, colon);
  if (username === '') {
    throw invalidConfig('--creds does not name a user', {
      hint: 'Write --creds USER:PASSWORD, or --creds USER with the password on standard input.',
    });
  }
  if (colon < 0) return { username, password: await passwordOf(username, context) };
  if (context.settings.origins.get('creds')?.from !== 'environment') {
    context.log.warn('a password on the command line can be seen by others for a moment; pipe it in instead');
  }
  return { username, password: text.slice(colon + 1) };
}

async function passwordOf(username: string, context: CommandContext): Promise<string> {
  if (context.stdin.isTTY !== true) return await readPassword(context);
  return await askTerminal(context, `Password of ${printable(username)}: `, { hidden: true });
}

function requestLine({ method, url, attempt, durationMs, status, failure }: RequestEvent): string {
  const answered = status ?? failure ?? 'no answer';
  return `${method} ${url} ${answered} ${formatDuration(durationMs)} (attempt ${attempt})`;
}
